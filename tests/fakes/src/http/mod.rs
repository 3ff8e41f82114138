//! What every fake needs below its vendor's API: a server whose connections can end badly, and bodies that are cut or
//! slow, requests read to their end, and answers as data.

mod body;
mod read;
mod reply;
mod server;

pub(crate) use body::{cut, paced};
pub(crate) use read::{decode_params, drain};
pub(crate) use reply::{HTML, Reply};
pub(crate) use server::{Ending, Server, serve};
