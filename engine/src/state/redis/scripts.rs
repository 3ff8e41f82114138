//! The scripts that run in the server, so that what belongs together happens together, and what is sent to it.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// A script, named by its digest wherever the server knows it.
pub(super) struct Lua {
    code: &'static str,
    digest: LazyLock<String>,
}

macro_rules! lua {
    ($name:ident, $file:literal) => {
        pub(super) static $name: Lua = Lua {
            code: concat!(include_str!("lua/common.lua"), include_str!(concat!("lua/", $file))),
            digest: LazyLock::new(|| Script::new($name.code).get_hash().to_owned()),
        };
    };
}

lua!(CLAIM, "claim.lua");
lua!(COMPLETE, "complete.lua");
lua!(CHANGE, "change.lua");
lua!(RELEASE, "release.lua");
lua!(TOKEN, "token.lua");
lua!(IMPORT_KEY, "import_key.lua");
lua!(IMPORT_ENTITY, "import_entity.lua");
lua!(SET_NOTE, "set_note.lua");
lua!(DRAW, "draw.lua");
lua!(PROBE, "probe.lua");

/// Something to be sent to the server.
pub(super) enum Call {
    /// A command.
    Plain(Cmd),
    /// A script with its keys and arguments.
    Script { lua: &'static Lua, keys: Vec<String>, arguments: Vec<Vec<u8>> },
}

impl Call {
    /// A command with its arguments.
    pub(super) fn plain(name: &str, arguments: &[&[u8]]) -> Self {
        let mut cmd = redis::cmd(name);
        for argument in arguments {
            cmd.arg(argument);
        }
        Self::Plain(cmd)
    }

    /// As it is sent: by its digest at first, `in_full` where the server doesn't know that.
    pub(super) fn command(&self, in_full: bool) -> Cmd {
        match self {
            Self::Plain(cmd) => cmd.clone(),
            Self::Script { lua, keys, arguments } => {
                let mut cmd = Cmd::new();
                if in_full {
                    cmd.arg("EVAL").arg(lua.code);
                } else {
                    cmd.arg("EVALSHA").arg(lua.digest.as_str());
                }
                cmd.arg(keys.len()).arg(keys).arg(arguments);
                cmd
            }
        }
    }
}
