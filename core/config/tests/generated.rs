//! What is generated from the types is committed, and up to date.

use expect_test::expect_file;

#[test]
fn the_json_schema_is_up_to_date() {
    expect_file!["../../../docs/reference/config.schema.json"]
        .assert_eq(&patronus_config::json_schema());
}

#[test]
fn the_schema_and_reference_of_intents_are_up_to_date() {
    expect_file!["../../../docs/reference/intent.schema.json"]
        .assert_eq(&patronus_config::intent_schema());
    expect_file!["../../../docs/reference/intent.md"]
        .assert_eq(&patronus_config::intent_reference());
}

#[test]
fn the_reference_is_up_to_date() {
    expect_file!["../../../docs/reference/config.md"].assert_eq(&patronus_config::reference());
}
