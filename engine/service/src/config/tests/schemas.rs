//! `[schemas]`: files, folders, and what can be wrong with them.

use std::path::Path;

use serde_json::{Value, json};

use super::{CRM, Config, FILE, load, refused, schema};

/// A folder with a configuration and files beside it.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new(files: &[(&str, Value)]) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, schema)| scene.write(path, &schema.to_string()));
        scene
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn load(&self, section: &str) -> Result<Config, String> {
        self.write("syncline.toml", &format!("{FILE}\n[schemas]\n{section}\n"));
        load(Some(self.path().join("syncline.toml")), &[].into()).map_err(|problems| problems.to_string())
    }
}

fn known(config: &Config) -> Vec<String> {
    let known = config.schemas.known();
    known.map(|(entity, version)| version.map_or(entity.to_owned(), |version| format!("{entity} {version}"))).collect()
}

#[test]
fn files_are_relative_to_the_configuration_and_say_what_they_are_for() {
    let scene =
        Scene::new(&[("s/a.json", json!({})), ("s/b.json", json!({})), ("c.json", json!({ "$ref": "s/a.json" }))]);
    let config = scene
        .load(
            r#"envelope = "strict"
unknown_version = "newest"
files = [
    { entity = "customer", version = 2, path = "s/a.json" },
    { entity = "customer", version = "beta", path = "./s/b.json" },
    { entity = "order", path = "c.json" },
]"#,
        )
        .unwrap();
    assert_eq!(known(&config), ["customer beta", "customer 2", "order"]);
    let policy = crate::commands::policy(&config).join("\n");
    let line =
        "schemas: customer `beta`, customer `2`, order without a version; other versions: newest; envelope: strict";
    assert!(policy.contains(line), "{policy}");
    assert!(format!("{:?}", config.schemas).contains("Newest"));
}

#[test]
fn a_folder_s_names_say_what_its_files_are_for() {
    let scene = Scene::new(&[
        ("schemas/customer.v1.json", json!({ "properties": { "address": { "$ref": "address.json" } } })),
        ("schemas/customer.v10.json", json!({})),
        ("schemas/order.line.v1.5.json", json!({})),
        ("schemas/address.json", json!({})),
        ("schemas/order.vip.json", json!({})),
        ("schemas/.v7.json", json!("hidden, and no schema")),
        ("schemas/.customer.json", json!("hidden, and no schema")),
        ("schemas/README.md", json!("no schema")),
        ("schemas/old.json/customer.v9.json", json!("in a folder of the folder")),
    ]);
    let config = scene.load("folder = \"schemas\"").unwrap();
    assert_eq!(known(&config), ["address", "customer 1", "customer 10", "order.line 1.5", "order.vip"]);
    let twice =
        scene.load("folder = \"schemas\"\nfiles = [{ entity = \"customer\", version = \"1\", path = \"o.json\" }]");
    refused(twice, &["schemas.files[0].path: ", "o.json: there is no such file"]);
    scene.write("o.json", "{}");
    let twice =
        scene.load("folder = \"schemas\"\nfiles = [{ entity = \"customer\", version = \"1\", path = \"o.json\" }]");
    refused(twice, &["schemas.folder: ", "customer.v1.json: is for version 1 of `customer`, and so is ", "o.json"]);
    let variables = [CRM, ("SYNCLINE__SCHEMAS__FOLDER", scene.path().join("schemas").to_str().unwrap())].into();
    assert_eq!(known(&load(None, &variables).unwrap()).len(), 5);
    let path = scene.path().join("schemas/customer.v1.json");
    let variables = [
        CRM,
        ("SYNCLINE__SCHEMAS__FILES__0__ENTITY", "customer"),
        ("SYNCLINE__SCHEMAS__FILES__0__VERSION", "3"),
        ("SYNCLINE__SCHEMAS__FILES__0__PATH", path.to_str().unwrap()),
    ];
    refused(load(None, &variables.into()).map_err(|problems| problems.to_string()), &["at `/properties/address/$ref`"]);
}

#[test]
fn without_schemas_nothing_is_checked() {
    let config = Scene::new(&[]).load("").unwrap();
    assert!(known(&config).is_empty());
    assert!(!crate::commands::policy(&config).join("\n").contains("schemas:"));
}

#[test]
fn what_is_wrong_is_told_with_file_and_pointer() {
    let scene = Scene::new(&[
        ("bad/customer.v1.json", json!({ "properties": { "name": { "type": "sting" } } })),
        ("bad/customer.v2.json", json!({ "items": { "$ref": "https://acme.example/x.json" } })),
        ("bad/order.json", json!({ "items": { "$ref": "customer.v3.json" } })),
        ("fine/customer.v1.json", json!({})),
    ]);
    scene.write("broken/customer.v1.json", "{ \"type\": hunter2 }");
    scene.write("empty/README.md", "");
    refused(
        scene.load("folder = \"bad\""),
        &[
            "syncline.toml:",
            "schemas.folder: ",
            "bad/customer.v2.json: at `/items/$ref`: `https://acme.example/x.json` is none of the schemas",
            "bad/order.json: at `/items/$ref`: `customer.v3.json` is none of the schemas",
        ],
    );
    let file =
        |path: &str| scene.load(&format!("files = [{{ entity = \"customer\", version = 1, path = \"{path}\" }}]"));
    refused(
        file("bad/customer.v1.json"),
        &["schemas.files[0].path: ", "customer.v1.json: at `/properties/name/type`: "],
    );
    let broken = file("broken/customer.v1.json");
    assert!(!format!("{broken:?}").contains("hunter2"), "{broken:?}");
    refused(broken, &["broken/customer.v1.json: this is not JSON: a syntax error in line 1, column "]);
    refused(file("nowhere.json"), &["nowhere.json: there is no such file"]);
    refused(file("fine"), &["fine: can't be read: "]);
    refused(scene.load("folder = \"nowhere\""), &["schemas.folder: ", "nowhere: there is no such file or folder"]);
    refused(scene.load("folder = \"empty\""), &["empty: has no schema; expected files such as `customer.v1.json`"]);
    refused(
        scene.load("unknown_version = \"latest\""),
        &["schemas.unknown_version: expected one of `reject`, `newest`, `none`"],
    );
    refused(scene.load("envelope = \"loose\""), &["schemas.envelope: expected one of `lenient`, `strict`"]);
    refused(
        scene.load("files = [{ entity = \"\", path = \"fine/customer.v1.json\" }]"),
        &["schemas.files[0].entity: must not"],
    );
    refused(scene.load("files = [{ entity = \"a\" }]"), &["schemas.files[0]: the key `path` is missing"]);
    refused(scene.load("directory = \"fine\""), &["schemas.directory: unknown key"]);
}

/// What people write against: a change here is a change for them.
#[test]
fn the_schema_names_every_key() {
    let schema = schema();
    let keys = |name: &str| -> Vec<String> {
        schema["$defs"][name]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys("Schemas"), ["envelope", "files", "folder", "unknown_version"]);
    assert_eq!(keys("SchemaFile"), ["entity", "path", "version"]);
}
