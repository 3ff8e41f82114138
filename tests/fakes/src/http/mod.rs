//! What every fake needs below its vendor's API: a server whose connections can end badly, and bodies that are cut or
//! slow.

mod body;
mod server;

pub(crate) use body::{cut, paced};
pub(crate) use server::{Ending, Server, serve};
