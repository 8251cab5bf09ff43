use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use toml::Table;

use super::known::{known_keys, leaves, nearest};
use super::*;

/// Loads from a file's text, variables and flags.
fn load(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let sources = Sources {
        file: (!file.is_empty()).then(|| (PathBuf::from("my.toml"), Ok(file.to_owned()))),
        environment: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        flags: flags
            .iter()
            .map(|(key, value)| Flag {
                name: "--set",
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    };
    Config::load(sources, Profile::Development)
}

fn mistakes(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
    let error = load(file, variables, flags).unwrap_err();
    error.0.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_then_file_then_environment_then_flags() {
    let file = "[worker]\nslots_max = 2\nagent_name = \"file\"\nload_threshold = 0.5";
    let variables = [
        ("VOXPOOL__WORKER__SLOTS_MAX", "3"),
        ("LIVEKIT_AGENT_NAME", "env"),
    ];
    let config = load(file, &variables, &[("worker.slots_max", "4")]).unwrap();
    assert_eq!(config.worker.slots_max, 4, "flag");
    assert_eq!(config.worker.agent_name, "env");
    assert_eq!(config.worker.load_threshold, 0.5, "file, over the profile");
    assert!(config.http.port_fallback, "profile");
    assert_eq!(config.pool.connections_max, 100, "default");
}

#[test]
fn the_pools_limits_follow_the_slots_unless_they_are_set() {
    let limits = |file: &str| {
        let pool = load(file, &[], &[]).unwrap().pool;
        (pool.connections_max, pool.connections_per_host_max)
    };
    assert_eq!(limits("[worker]\nslots_max = 100"), (408, 308));
    assert_eq!(limits("[worker]\nslots_max = 2"), (100, 30));
    let set =
        "[worker]\nslots_max = 100\n[pool]\nconnections_max = 60\nconnections_per_host_max = 40";
    assert_eq!(limits(set), (60, 40));
}

#[test]
fn every_mistake_is_reported_with_its_key_and_its_source() {
    let found = mistakes(
        "[worker]\nslot_max = 5\n[http]\nport = \"high\"\n[worker.deep]\na = 1",
        &[
            ("VOXPOOL__WORKER__SLOTS_MAX", "many"),
            ("VOXPOOL__POOL__RETRIES_MAX", "99"),
        ],
        &[("worker.load_threshold", "7")],
    );
    let expected = [
        "worker.deep.a (file my.toml): there is no such setting",
        "worker.slot_max (file my.toml): there is no such setting; did you mean worker.slots_max?",
        "http.port (file my.toml): must be a whole number, 0 or more, not \"high\"",
        "worker.slots_max (environment variable VOXPOOL__WORKER__SLOTS_MAX): must be a whole number, 0 or more, not \"many\"",
        "worker.load_threshold (flag --set): must be above 0 and at most 1",
        "pool.retries_max (environment variable VOXPOOL__POOL__RETRIES_MAX): must be from 0 to 10",
    ];
    for start in expected {
        assert!(
            found.iter().any(|line| line.starts_with(start)),
            "{start} not in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn production_names_everything_that_is_missing() {
    let error = Config::load(Sources::default(), Profile::Production).unwrap_err();
    let keys: Vec<&str> = error.0.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "livekit.url",
            "livekit.api_key",
            "livekit.api_secret",
            "openai.api_key"
        ]
    );
    assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
}

#[test]
fn a_server_of_ones_own_needs_no_key() {
    let config = load("", &[("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")], &[]).unwrap();
    assert!(!config.needs_openai_key());
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_one_mistake_among_the_others() {
    let found = mistakes("a = \n", &[], &[("worker.slots_max", "x")]);
    assert!(found[0].starts_with("file my.toml: not TOML"), "{found:?}");
    assert_eq!(found.len(), 2);

    let sources = Sources::new(
        Some("/nonexistent.toml".as_ref()),
        Environment::new(),
        Vec::new(),
    );
    let error = Config::load(sources, Profile::Development).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn secrets_show_neither_in_mistakes_nor_in_the_merged_settings() {
    let found = mistakes(
        "[livekit]\napi_secret = 12345\n[openai]\napi_key = [\"sk-1\"]",
        &[],
        &[],
    );
    assert_eq!(found.len(), 2);
    assert!(!format!("{found:?}").contains("12345") && !format!("{found:?}").contains("sk-1"));

    let config = load("", &[("OPENAI_API_KEY", "sk-very-secret")], &[]).unwrap();
    let shown = config.to_toml();
    assert!(
        shown.contains("[redacted]") && !shown.contains("sk-very-secret"),
        "{shown}"
    );
}

#[test]
fn fallbacks_come_from_a_file_and_their_mistakes_show_no_key() {
    let config = load(
        "[[stt.fallback]]\nmodel = \"a\"\n[[stt.fallback]]\nbase_url = \"http://b/v1\"",
        &[],
        &[],
    );
    let fallbacks = config.unwrap().stt.fallback;
    assert_eq!((fallbacks.len(), fallbacks[0].model.as_str()), (2, "a"));

    let found = mistakes(
        "[[llm.fallback]]\napi_key = \"sk-1\"\nvoice = \"x\"\n[[tts.fallback]]\napi_key = \"sk-2\"\n\
         model = 5\n[[stt.fallback]]\nbase_url = \"sk-3\"",
        &[],
        &[],
    );
    assert!(found[0].contains("unknown field `voice`"), "{found:?}");
    assert_eq!(
        found[1],
        "tts.fallback (file my.toml): a value is of the wrong type; config/default.toml describes them"
    );
    assert!(
        found[2].starts_with("stt.fallback[0].base_url: not a URL"),
        "{found:?}"
    );
    assert!(!format!("{found:?}").contains("sk-"), "{found:?}");
}

#[test]
fn the_better_of_two_variables_wins_and_an_empty_one_is_not_set() {
    let variables = [
        ("SUPABASE_URL", "https://x.example"),
        ("SUPABASE_ANON_KEY", "anonymous"),
        ("SUPABASE_SERVICE_ROLE_KEY", "service"),
        ("LIVEKIT_AGENT_NAME", "a"),
        ("LIVEKIT_AGENT_NAME_OVERRIDE", ""),
    ];
    let config = load("", &variables, &[]).unwrap();
    assert_eq!(config.supabase.key.expose(), "service");
    assert_eq!(config.worker.agent_name, "a");
}

#[test]
fn a_text_that_looks_like_a_number_stays_a_text() {
    let config = load("", &[("LIVEKIT_AGENT_NAME", "007")], &[]).unwrap();
    assert_eq!(config.worker.agent_name, "007");
    assert_eq!(
        load("", &[], &[("worker.load_threshold", "1")])
            .unwrap()
            .worker
            .load_threshold,
        1.0
    );
}

#[test]
fn default_toml_says_what_the_code_does() {
    let written: Config = toml::from_str(DEFAULT_TOML).unwrap();
    assert_eq!(written.to_toml(), Config::default().to_toml());
    let listed: BTreeSet<String> = keys_of(DEFAULT_TOML);
    let used: BTreeSet<String> = keys_of(&Config::default().to_toml());
    assert_eq!(listed, used, "left: in the file, right: in the code");
}

#[test]
fn every_setting_has_a_line_about_it() {
    let mut is_commented = false;
    for line in DEFAULT_TOML.lines() {
        if line.starts_with('#') {
            is_commented = true;
        } else if line.is_empty() || line.starts_with('[') {
            // `[stt]` alone says enough of its `model`.
            is_commented = line.starts_with('[');
        } else {
            assert!(is_commented, "no comment above {line:?}");
        }
    }
}

#[test]
fn the_development_profile_sets_known_settings_and_is_valid() {
    let known = known_keys();
    for key in keys_of(DEV_TOML) {
        assert!(known.contains(&key), "{key}");
    }
    assert!(load("", &[], &[]).is_ok());
}

#[test]
fn every_variable_is_in_the_readme_with_its_setting() {
    let readme = include_str!("../../README.md");
    for (variable, key) in VARIABLES {
        let row = format!("| `{variable}` | `{key}` |");
        assert!(readme.contains(&row), "the README's table lacks {row}");
    }
}

#[test]
fn variables_are_the_ones_of_env_example_and_set_known_settings() {
    let example = include_str!("../../.env.example");
    let listed: BTreeSet<&str> = example
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("VOXPOOL_C") && !name.starts_with("VOXPOOL__"))
        .collect();
    let table: BTreeSet<&str> = VARIABLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, table, "left: .env.example, right: the table");
    let known = known_keys();
    for (name, key) in VARIABLES {
        assert!(known.iter().any(|k| k == key), "{name} sets {key}");
    }
}

#[test]
fn the_nearest_setting_is_suggested() {
    let known = known_keys();
    assert_eq!(nearest("worker.slot_max", &known), Some("worker.slots_max"));
    assert_eq!(
        nearest("wroker.agent_name", &known),
        Some("worker.agent_name")
    );
    assert_eq!(
        nearest("http.drain_timeout_seconds", &known),
        Some("worker.drain_timeout_seconds")
    );
    assert_eq!(nearest("q.zzz", &known), None);
}

/// Loads with these agents' files and gives the directory's name in mistakes as `agents`.
fn load_agents(files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let dir = directory.path().display().to_string();
    load(
        "[worker]\nagent_name = \"main\"\n[llm]\nmodel = \"m\"\napi_key = \"sk-1\"",
        &[],
        &[("agents.dir", &dir)],
    )
    .map_err(|error| {
        let mistakes = error.0.iter();
        mistakes
            .map(|it| it.to_string().replace(&dir, "agents"))
            .collect()
    })
}

#[test]
fn an_agents_file_lays_what_it_sets_over_the_settings_of_the_process() {
    let config = load_agents(&[
        (
            "b.toml",
            "name = \"\"\ninstructions = \"Be brief.\"\n[tts]\nvoice = \"coral\"",
        ),
        (
            "a.toml",
            "name = \"a\"\ntools = []\n[greeting]\nmode = \"none\"\n[llm]\nmodel = \"own\"",
        ),
        ("notes.txt", "nothing"),
    ])
    .unwrap();
    let agents = config.agents();
    let names: Vec<&str> = agents
        .iter()
        .map(|it| it.worker.agent_name.as_str())
        .collect();
    assert_eq!(names, ["main", "a", ""]);
    let models: Vec<&str> = agents.iter().map(|it| it.llm.model.as_str()).collect();
    assert_eq!(models, ["m", "own", "m"]);
    assert_eq!(agents[1].llm.api_key.expose(), "sk-1", "of the process");
    assert!(agents[1].agent.tools.is_empty() && agents[2].agent.tools == ["*"]);
    assert_eq!(agents[2].agent.instructions, "Be brief.");
    assert_eq!(
        (agents[0].tts.voice.as_str(), agents[2].tts.voice.as_str()),
        ("ash", "coral")
    );
}

#[test]
fn an_agent_of_its_own_presses_keys_and_is_asked_by_apps() {
    let dials = "name = \"dials\"\nsend_dtmf = true\nsession_methods = [\"say\", \"interrupt\"]";
    let config = load_agents(&[("a.toml", dials)]).unwrap();
    let [main, dials] = config.agents()[..] else {
        panic!("two agents");
    };
    assert!(dials.agent.send_dtmf && !main.agent.send_dtmf);
    assert_eq!(dials.agent.session_methods.len(), 2);
    assert!(main.agent.session_methods.is_empty());
    let speech_to_speech = "name = \"s\"\nsession_methods = [\"say\"]\n[realtime]\nenabled = true";
    let config = load_agents(&[("s.toml", speech_to_speech)]).unwrap();
    assert_eq!(config.agents()[1].agent.session_methods.len(), 1);
}

#[test]
fn a_file_with_the_name_of_the_default_agent_takes_its_place() {
    let config = load_agents(&[
        ("a.toml", "name = \"a\""),
        ("z.toml", "name = \"main\"\ninstructions = \"Mine.\""),
    ]);
    let config = config.unwrap();
    let agents = config.agents();
    assert_eq!(agents.len(), 2);
    assert_eq!(agents[0].agent.instructions, "Mine.");
}

#[test]
fn the_mistakes_of_all_agents_are_named_with_their_files() {
    let found = load_agents(&[
        (
            "a.toml",
            "nam = \"a\"\n[tts]\nvoise = \"x\"\nspeed = \"fast\"",
        ),
        (
            "b.toml",
            "name = \"two words\"\n[greeting]\ntext = \"\"\n[pool]\nretries_max = 1",
        ),
        ("c.toml", "name = "),
        ("d.toml", "name = \"d\""),
        ("e.toml", "name = \"d\"\nmcp = [\"lost\"]"),
        (
            "f.toml",
            "name = \"f\"\n[[client_tool]]\nname = \"where am I\"\ndescription = \"x\"",
        ),
    ])
    .unwrap_err();
    let expected = [
        "nam (file agents/a.toml): an agent has no such setting",
        "tts.voise (file agents/a.toml): an agent has no such setting; did you mean tts.voice?",
        "name (file agents/a.toml): missing",
        "tts.speed (file agents/a.toml): must be a number",
        "pool.retries_max (file agents/b.toml): an agent has no such setting",
        "name (file agents/b.toml): must be at most 64 bytes",
        "greeting.text (file agents/b.toml): must not be empty",
        "file agents/c.toml: not TOML",
        "mcp (file agents/e.toml): there is no [[mcp]] with the name \"lost\"",
        "client_tool[0].name (file agents/f.toml): must be 1 to 64 letters",
        "name (file agents/e.toml): \"d\" is the agent of agents/d.toml already",
    ];
    for start in expected {
        assert!(
            found.iter().any(|line| line.starts_with(start)),
            "{start} not in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!found.concat().contains("sk-1"));
}

#[test]
fn the_example_of_an_agent_is_one() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/config/agents");
    let config = load("", &[], &[("agents.dir", dir)]).unwrap();
    assert_eq!(config.agents()[1].worker.agent_name, "reservations");
}

#[test]
fn servers_of_tools_come_from_a_file_and_their_secrets_from_the_environment() {
    let file = "[[mcp]]\nname = \"a\"\nurl = \"http://a/mcp\"\ntoken = \"${A_TOKEN}\"";
    let config = load(file, &[("A_TOKEN", "sk-1")], &[]).unwrap();
    assert_eq!(config.mcp[0].token.expose(), "sk-1");
    assert!(!config.to_toml().contains("sk-1"));

    let found = mistakes(file, &[], &[]);
    assert_eq!(
        found,
        ["mcp[0] (file my.toml): the environment variable A_TOKEN is not set"]
    );
    let found = mistakes("[[mcp]]\nname = \"a\"\ntoken = \"sk-1\"\nurl = 5", &[], &[]);
    assert!(
        found[0].starts_with("mcp (file my.toml): a value is of the wrong type"),
        "{found:?}"
    );
    assert!(!found.concat().contains("sk-1"));
}

fn keys_of(text: &str) -> BTreeSet<String> {
    let table: Table = text.parse().unwrap();
    leaves(&table).into_iter().map(|(key, _)| key).collect()
}

proptest! {
    #[test]
    fn no_value_of_a_variable_makes_loading_panic(value in ".{0,40}", at in 0_usize..1000) {
        let known = known_keys();
        let key = &known[at % known.len()];
        let name = format!("VOXPOOL__{}", key.to_uppercase().replace('.', "__"));
        drop(load("", &[(&name, &value)], &[]));
    }

    #[test]
    fn no_file_makes_loading_panic(text in "[a-z\\[\\]=.\"# \n0-9]{0,200}") {
        drop(load(&text, &[], &[]));
    }
}
