//! A fake ServiceNow to try a client against. It keeps its data in memory until it is interrupted.

use clap::Parser;
use syncline_fakes::servicenow::{DEFAULT_PASSWORD, DEFAULT_USER, Keep, Options, ServiceNow, Table};

/// A fake ServiceNow on 127.0.0.1. `GET /__ledger` shows what reached it.
#[derive(Parser)]
struct Arguments {
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// User to let in.
    #[arg(long, default_value = DEFAULT_USER)]
    user: String,
    /// The user's password.
    #[arg(long, default_value = DEFAULT_PASSWORD)]
    password: String,
    /// A table besides the default ones, as `name:column,column`. May be given more than once.
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// A column with a unique index, as `table.column`. May be given more than once.
    #[arg(long = "unique", value_name = "COLUMN")]
    unique: Vec<String>,
    /// How many requests the ledger keeps.
    #[arg(long, default_value_t = 10_000)]
    keep: usize,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let mut options = Options::default()
        .port(arguments.port)
        .no_users()
        .user(&arguments.user, &arguments.password)
        .keep(Keep::Last(arguments.keep))
        .control_pages();
    for table in &arguments.tables {
        let (name, columns) = table.split_once(':').unwrap_or((table, ""));
        options = options.table(Table::new(name, columns.split(',').filter(|column| !column.is_empty())));
    }
    for column in &arguments.unique {
        let invalid = || std::io::Error::other(format!("--unique {column}: not of the form table.column"));
        let (table, column) = column.split_once('.').ok_or_else(invalid)?;
        options = options.unique(table, column);
    }
    let crm = ServiceNow::start(options).await?;
    println!("{}", crm.base_url());
    tokio::signal::ctrl_c().await?;
    crm.stop().await;
    Ok(())
}
