//! Every way in which ServiceNow is known to fail, and every recipe to write with, has a golden conversation.

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// What ServiceNow answers, and the conversations that have it.
    const FAILURES: &[(&str, &[&str])] = &[
        ("400 invalid table", &["error_400_invalid_table"]),
        ("400 rejected large payload", &["error_400_too_large"]),
        ("400 other", &["error_400_malformed"]),
        ("401", &["error_401_credentials"]),
        ("401 with a second factor", &["error_401_mfa"]),
        ("403 API level", &["error_403_role"]),
        ("403 ACL of a table or a record", &["error_403_acl"]),
        ("403 business rule", &["create_aborted"]),
        ("403 after the commit, or without a word", &["error_403_after_commit", "error_403_update"]),
        ("unique key violation", &["create_race", "import_race"]),
        (
            "404 of a record",
            &["update_remembered_gone", "update_vanished", "delete_vanished", "delete_remembered_gone"],
        ),
        ("404 of a hidden table", &["error_404_hidden_table"]),
        ("405, 406, 415", &["error_405_method", "error_406_accept", "error_415_content_type"]),
        ("429 of a rule", &["update_throttled", "error_429_rule"]),
        ("429 of a full queue", &["error_429_full_queue"]),
        ("499", &["error_499"]),
        ("500 cancelled, of a write and of a read", &["error_500_cancelled", "error_500_read", "create_cut_off"]),
        ("500, 502, 503 as JSON, as a page, empty", &["error_502_page", "error_503_empty"]),
        ("202", &["error_202_queued"]),
        (
            "200 with a page",
            &["update_login_page", "error_200_login_page", "error_200_hibernating", "error_200_maintenance"],
        ),
        ("200 with an error behind the result", &["error_200_truncated", "error_200_with_error"]),
        ("30x to a login", &["error_302_login"]),
        ("201 with a failed row of an import set", &["import_error", "import_one_of_two_fails", "import_skipped"]),
        ("201 without a body", &["import_hidden"]),
    ];

    const RECIPES: &[(&str, &[&str])] = &[
        ("create once", &["create", "create_in_doubt", "create_in_doubt_absent", "update_duplicates"]),
        ("update", &["update", "update_remembered"]),
        ("upsert by an import set", &["import_inserted", "import_updated", "import_ignored"]),
    ];

    #[test]
    fn every_failure_and_every_recipe_has_a_golden_conversation() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        for (what, fixtures) in FAILURES.iter().chain(RECIPES) {
            assert!(!fixtures.is_empty(), "{what}");
            for fixture in *fixtures {
                assert!(folder.join(format!("{fixture}.json")).is_file(), "{what}: there is no {fixture}.json");
            }
        }
    }
}
