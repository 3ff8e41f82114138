//! The tables: put in place, brought to this version, and checked.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connect::{Connection, Connector};
use super::errors::Failure;

/// The versions in order. What is released stays as it is; a change is a new version.
const VERSIONS: [&str; 2] = [
    concat!(
        include_str!("migrations/0001_tables.sql"),
        include_str!("migrations/0001_claims.sql"),
        include_str!("migrations/0001_upkeep.sql"),
    ),
    include_str!("migrations/0002_notes_and_budgets.sql"),
];

/// Before 14 a table can't be scanned by ranges of blocks, which the sweeps do.
const OLDEST_SERVER: i32 = 140_000;

/// How long putting the tables in place may take, waiting for another instance included.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is there of the schema.
enum Found {
    /// It isn't there, or is empty.
    Nothing { has_schema: bool },
    /// Our tables, in this version.
    Version(usize),
}

/// Brings the tables to this program's version, and checks that they can be used. Nothing is changed
/// where something else is found.
pub(super) async fn prepare(connector: &Connector) -> Result<(), Failure> {
    let connection = connector.connect().await?;
    let client = connection.client();
    let schema = &connector.options().schema;
    let patience = connector.options().connect_timeout + connector.options().statement_timeout;
    let looked = timeout(patience, look(client, schema)).await;
    let found = looked.unwrap_or_else(|_| Err(Failure::Unavailable("no answer in time".to_owned())))?;
    if !matches!(found, Found::Version(version) if version == VERSIONS.len()) {
        let migrated = timeout(PATIENCE, migrate(&connection, schema)).await;
        migrated
            .unwrap_or_else(|_| Err(Failure::Unavailable("the tables could not be put in place in time".into())))?;
    }
    let checked = timeout(patience, check_rights(client, schema)).await;
    checked.unwrap_or_else(|_| Err(Failure::Unavailable("no answer in time".to_owned())))
}

async fn look(client: &Client, schema: &str) -> Result<Found, Failure> {
    let sql = "
        SELECT current_setting('server_version_num')::integer, current_setting('server_version'), getdatabaseencoding()::text,
               current_setting('transaction_read_only') = 'on', to_regnamespace($1) IS NOT NULL,
               EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($2) AND attname = 'syncline_version'),
               ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind <> 'i'
                     UNION SELECT proname || '()' FROM pg_proc WHERE pronamespace = to_regnamespace($1)
                     ORDER BY 1 LIMIT 5)";
    let table = format!("{schema}.migrations");
    let rows = client.query_typed(sql, &[(&schema, Type::TEXT), (&table, Type::TEXT)]).await;
    let rows = rows.map_err(|error| Failure::of(&error))?;
    let row = first(&rows)?;
    let (number, version, encoding): (i32, String, String) = (cell(row, 0)?, cell(row, 1)?, cell(row, 2)?);
    if number < OLDEST_SERVER {
        return Err(Failure::Refused(format!("the server is PostgreSQL {version}; 14 or later is needed")));
    }
    if encoding != "UTF8" {
        return Err(Failure::Refused(format!(
            "the database's encoding is {encoding}, which can't hold every id; create it with ENCODING 'UTF8'"
        )));
    }
    if cell(row, 3)? {
        return Err(Failure::Unavailable("the server is read-only".to_owned()));
    }
    let (has_schema, is_ours, names): (bool, bool, Vec<String>) = (cell(row, 4)?, cell(row, 5)?, cell(row, 6)?);
    if !is_ours {
        if names.is_empty() {
            return Ok(Found::Nothing { has_schema });
        }
        return Err(Failure::Refused(format!(
            "the schema `{schema}` holds something else ({}), and is left as it is; give `schema` another name",
            names.join(", ")
        )));
    }
    let sql = format!("SELECT max(syncline_version) FROM \"{schema}\".migrations");
    let rows = client.query_typed(&sql, &[]).await.map_err(|error| Failure::of(&error))?;
    let version: Option<i32> = cell(first(&rows)?, 0)?;
    match usize::try_from(version.unwrap_or(0)) {
        Ok(version) if version <= VERSIONS.len() => Ok(Found::Version(version)),
        _ => Err(Failure::Refused(format!(
            "the tables in schema `{schema}` have version {}, and this program knows up to {}; they are left as they \
             are: use a newer program",
            version.unwrap_or(0),
            VERSIONS.len()
        ))),
    }
}

/// In one transaction, under a lock, so that of many instances that start at once one does it.
async fn migrate(connection: &Connection, schema: &str) -> Result<(), Failure> {
    let client = connection.client();
    let run = async |sql: &str| client.batch_execute(sql).await.map_err(|error| Failure::of(&error));
    let millis = PATIENCE.as_millis();
    run(&format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED;
         SET LOCAL statement_timeout = {millis}; SET LOCAL synchronous_commit = on; SET LOCAL check_function_bodies = on;
         SELECT pg_advisory_xact_lock(hashtextextended('syncline schema {schema}', 0))"
    ))
    .await?;
    let done = match look(client, schema).await? {
        Found::Nothing { has_schema: true } => 0,
        Found::Nothing { has_schema: false } => {
            run(&format!("CREATE SCHEMA \"{schema}\"")).await?;
            0
        }
        Found::Version(version) => version,
    };
    for (number, sql) in VERSIONS.iter().enumerate().skip(done) {
        run(&sql.replace("{schema}", &format!("\"{schema}\""))).await?;
        run(&format!("INSERT INTO \"{schema}\".migrations (syncline_version) VALUES ({})", number + 1)).await?;
    }
    run("COMMIT").await
}

/// A right that is missing is said at the start, not when the first event comes.
async fn check_rights(client: &Client, schema: &str) -> Result<(), Failure> {
    let sql = "
        WITH schema AS (SELECT oid FROM pg_namespace WHERE nspname = $1)
        SELECT ARRAY(
            SELECT 'USAGE on the schema' FROM schema WHERE NOT has_schema_privilege(oid, 'USAGE')
            UNION ALL
            SELECT privilege || ' on the table ' || relname
            FROM pg_class JOIN schema ON relnamespace = schema.oid, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'])
                AS privilege
            WHERE relname IN ('keys', 'entities', 'tokens', 'sweeps', 'notes', 'budgets')
              AND NOT has_table_privilege(pg_class.oid, privilege)
            UNION ALL
            SELECT 'EXECUTE on the function ' || proname FROM pg_proc JOIN schema ON pronamespace = schema.oid
            WHERE NOT has_function_privilege(pg_proc.oid, 'EXECUTE'))";
    let rows = client.query_typed(sql, &[(&schema, Type::TEXT)]).await.map_err(|error| Failure::of(&error))?;
    let missing: Vec<String> = cell(first(&rows)?, 0)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!("in schema `{schema}`, the user has no right to {}; grant it", missing.join(", "))))
}

fn first(rows: &[Row]) -> Result<&Row, Failure> {
    rows.first().ok_or_else(|| Failure::Refused("no row came where there has to be one".to_owned()))
}

fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Failure> {
    row.try_get(index).map_err(|error| Failure::of(&error))
}
