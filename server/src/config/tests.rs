use clap::{Arg, CommandFactory};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The defaults plus these flags. The environment of the test run does not count.
fn config(flags: &[&str]) -> Config {
    let line = ["dashboard-server", "--jwt-hs256-secret", SECRET].iter().chain(flags);
    let mut config = Config::try_parse_from(line).unwrap();
    config.allowed_origins.retain(|_| flags.contains(&"--allowed-origins"));
    config
}

#[test]
fn defaults_are_fit_to_run() {
    let config = config(&[]);
    assert_eq!(config.check(), Ok(()));
    assert_eq!(config.prefix(), "/api");
    assert!(!config.is_https());
}

#[test]
fn keys_are_required_and_of_one_kind() {
    let mut none = config(&[]);
    none.jwt_hs256_secret = None;
    assert_eq!(none.check(), Err(vec![ConfigError::NoKeys]));
    let mut both = config(&[]);
    both.jwt_jwks_file = Some("keys.json".into());
    assert_eq!(both.check(), Err(vec![ConfigError::ManyKeys]));
    let mut weak = config(&[]);
    weak.jwt_hs256_secret = Some(Secret::from("short".to_owned()));
    assert_eq!(weak.check(), Err(vec![ConfigError::WeakSecret]));
}

#[test]
fn published_keys_need_an_issuer_and_client_ids() {
    let mut config = config(&[]);
    config.jwt_hs256_secret = None;
    config.jwt_jwks_url = Some("https://idp.example.org/keys".to_owned());
    assert_eq!(config.check(), Err(vec![ConfigError::OpenIssuer]));
    config.jwt_issuer = Some("https://idp.example.org".to_owned());
    assert_eq!(config.check(), Err(vec![ConfigError::OpenIssuer]));
    config.jwt_client_ids = vec!["app".to_owned()];
    assert_eq!(config.check(), Ok(()));
    config.jwt_jwks_url = Some("http://idp.example.org/keys".to_owned());
    assert_eq!(config.check(), Err(vec![ConfigError::PlainJwks]));
    config.jwt_jwks_url = Some("http://127.0.0.1:9/keys".to_owned());
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn plain_http_stays_on_loopback() {
    let open = config(&["--bind", "0.0.0.0:9112"]);
    assert_eq!(open.check(), Err(vec![ConfigError::PlainHttp("0.0.0.0:9112".parse().unwrap())]));
    let admin = config(&["--admin-bind", "192.0.2.1:9113"]);
    assert_eq!(admin.check(), Err(vec![ConfigError::PlainHttp("192.0.2.1:9113".parse().unwrap())]));
    let proxied = config(&["--bind", "0.0.0.0:9112", "--behind-proxy"]);
    assert_eq!(proxied.check(), Ok(()));
    assert!(proxied.is_https());
}

#[test]
fn paths_origins_and_cookies_are_checked() {
    assert_eq!(config(&["--base-path", "/"]).prefix(), "");
    assert_eq!(config(&["--base-path", "api"]).check(), Err(vec![ConfigError::BasePath]));
    assert_eq!(config(&["--base-path", "/{x}"]).check(), Err(vec![ConfigError::BasePath]));
    let good =
        "https://a.example.org,http://localhost:5173,https://[::1]:8443,http://a.example:443";
    assert_eq!(config(&["--allowed-origins", good]).check(), Ok(()));
    assert_eq!(config(&["--auth-cookie", "a=b"]).check(), Err(vec![ConfigError::Cookie]));
}

#[test]
fn refreshes_leave_connections_for_snapshots() {
    let greedy = config(&["--refresh-concurrency", "10"]);
    let fault = ConfigError::Concurrency { refreshes: 10, connections: 10 };
    assert_eq!(greedy.check(), Err(vec![fault]));
}

#[test]
fn blanks_are_as_good_as_nothing() {
    let mut config = config(&["--allowed-origins", " https://a.example.org ,"]);
    config.database_url = Some(Secret::from(String::new()));
    config.jwt_jwks_url = Some(" ".to_owned());
    config.web_root = Some(PathBuf::new());
    config.jwt_client_ids = vec![String::new()];
    let config = config.without_blanks();
    assert_eq!(config.check(), Ok(()));
    assert_eq!(config.allowed_origins, ["https://a.example.org"]);
    assert!(config.database_url.is_none() && config.web_root.is_none());
    assert!(config.jwt_client_ids.is_empty());
}

#[test]
fn a_certificate_needs_its_key() {
    for half in ["--tls-cert", "--tls-key"] {
        assert_eq!(config(&[half, "file.pem"]).check(), Err(vec![ConfigError::HalfTls]));
    }
}

#[test]
fn origins_are_reported_as_browsers_write_them() {
    let cases = [
        ("https://app.example.org/", "write https://app.example.org"),
        ("https://App.Example.org", "write https://app.example.org"),
        ("https://app.example.org:443", "write https://app.example.org"),
        ("HTTP://app.example.org:8080/x?y", "write http://app.example.org:8080"),
        ("app.example.org", "a scheme and a host, such as https://app.example.org"),
        ("*", "name each one"),
        ("https://*.example.org", "name each one"),
        ("https://", "a scheme and a host"),
        ("https://user@app.example.org", "a scheme and a host"),
    ];
    for (bad, words) in cases {
        let faults = config(&["--allowed-origins", bad]).check().unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{bad}: {faults:?}") };
        let text = fault.to_string();
        assert!(text.contains(&format!("{bad:?}")) && text.contains(words), "{text}");
    }
}

#[test]
fn the_two_sides_need_addresses_of_their_own() {
    let cases = [
        ("127.0.0.1:9112", "127.0.0.1:9112", true),
        ("0.0.0.0:9112", "127.0.0.1:9112", true),
        ("127.0.0.1:9112", "[::]:9112", true),
        ("127.0.0.1:9112", "127.0.0.2:9112", false),
        ("0.0.0.0:9112", "[::1]:9112", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
    ];
    for (bind, admin, collides) in cases {
        let checked = config(&["--bind", bind, "--admin-bind", admin, "--behind-proxy"]).check();
        let expected = if collides { Err(vec![ConfigError::OneAddress(9112)]) } else { Ok(()) };
        assert_eq!(checked, expected, "{bind} {admin}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let mut config = config(&[
        "--bind",
        "0.0.0.0:1",
        "--admin-bind",
        "0.0.0.0:2",
        "--base-path",
        "api",
        "--auth-cookie",
        "a=b",
        "--allowed-origins",
        "*,https://good.example.org,x",
        "--tls-key",
        "k",
        "--log",
        "loud",
        "--database-connections",
        "2",
    ]);
    config.jwt_hs256_secret = Some(Secret::from("short".to_owned()));
    let faults = config.check().unwrap_err();
    let names: Vec<_> = faults.iter().map(|fault| format!("{fault:?}")).collect();
    let names: Vec<_> =
        names.iter().map(|name| name.split([' ', '(']).next().unwrap_or_default()).collect();
    let expected = [
        "WeakSecret",
        "HalfTls",
        "PlainHttp",
        "PlainHttp",
        "BasePath",
        "Origin",
        "Origin",
        "Cookie",
        "Concurrency",
        "Log",
    ];
    assert_eq!(names, expected);
}

/// The flags that take a number, with their bounds as they tell them of something else.
fn numbers() -> Vec<(String, u64, u64)> {
    let settings = Config::command();
    let flags = settings.get_arguments().filter_map(Arg::get_long).map(|long| format!("--{long}"));
    let told = flags.filter_map(|flag| {
        let refused = Config::try_parse_from(["dashboard-server", &format!("{flag}=no number")]);
        let text = refused.err()?.to_string();
        let (_, bounds) = text.lines().next()?.split_once("must be a whole number from ")?;
        let (least, most) = bounds.split_once(" to ")?;
        Some((flag, least.parse().unwrap(), most.parse().unwrap()))
    });
    told.collect()
}

#[test]
fn every_number_has_bounds_and_keeps_to_them() {
    let numbers = numbers();
    // A number that clap reads on its own would not be among them.
    let typed = include_str!("../config.rs").to_owned() + include_str!("limits.rs");
    let declared = typed.lines().filter(|line| {
        line.starts_with("    pub ") && (line.ends_with(": u32,") || line.ends_with(": u64,"))
    });
    assert_eq!(numbers.len(), declared.count());
    for (flag, least, most) in numbers {
        let read = |value: &str| {
            let line = ["dashboard-server", &format!("{flag}={value}")];
            Config::try_parse_from(line).map_err(|error| error.to_string())
        };
        for good in [least, most] {
            assert!(read(&good.to_string()).is_ok(), "{flag}={good}");
        }
        let below = i128::from(least) - 1;
        let absurd =
            ["-1", "", "1.5", "1e3", "NaN", "0x10", "18446744073709551616", "4294967296000"];
        let absurd = absurd.map(str::to_owned).into_iter();
        for bad in absurd.chain([below.to_string(), (most + 1).to_string(), "9".repeat(1000)]) {
            let error = read(&bad).unwrap_err();
            let words = format!("must be a whole number from {least} to {most}");
            assert!(error.contains(&flag) && error.contains(&words), "{flag}={bad}: {error}");
        }
    }
}

/// Every flag, with a value that it takes.
fn every_flag() -> Vec<(String, String)> {
    let numbers = numbers();
    let settings = Config::command();
    let flags = settings.get_arguments().filter_map(Arg::get_long).filter_map(|long| {
        let value = match long {
            "bind" | "admin-bind" => "127.0.0.1:9",
            "behind-proxy" => "true",
            "polling" => "false",
            "log-format" => "json",
            "otlp-ratio" => "0.5",
            "allowed-origins" | "jwt-client-ids" => "https://a.example,https://b.example",
            "help" | "version" => return None,
            _ => "/some/text",
        };
        let flag = format!("--{long}");
        let least = numbers.iter().find(|(name, ..)| *name == flag);
        Some((flag, least.map_or(value.to_owned(), |(_, least, _)| least.to_string())))
    });
    flags.collect()
}

fn read(flag: &str, value: &str) -> Result<Config, String> {
    let line = ["dashboard-server", &format!("{flag}={value}")];
    Config::try_parse_from(line).map_err(|error| error.to_string())
}

/// What a setting holds, secrets too.
fn held(config: &Config) -> String {
    let secrets = [&config.database_url, &config.jwt_hs256_secret];
    let secrets = secrets.map(|secret| secret.as_ref().map(|secret| secret.expose().to_owned()));
    format!("{config:?} {secrets:?}")
}

#[test]
fn white_space_around_every_value_is_left_out() {
    let flags = every_flag();
    assert!(flags.len() > 40, "{flags:?}");
    for (flag, value) in flags {
        let plain = held(&read(&flag, &value).unwrap());
        assert_ne!(plain, held(&read("--log", "other").unwrap()), "{flag} says nothing");
        let items = value.replace(',', "\r\n, ");
        for padded in [
            format!("{items}\n"),
            format!(" \t{items}\r\n"),
            format!("\u{feff}{items}\u{a0}\u{200b}"),
        ] {
            assert_eq!(held(&read(&flag, &padded).unwrap()), plain, "{flag}={padded:?}");
        }
    }
}

#[test]
fn values_in_quotation_marks_and_of_several_lines_are_refused_without_being_shown() {
    for (flag, value) in every_flag() {
        for quoted in [format!("\"{value}\""), format!("'{value}'\n")] {
            let said = read(&flag, &quoted).unwrap_err();
            assert!(said.contains(&flag) && said.contains("without quotation marks"), "{said}");
            assert!(!said.contains(&value), "{said}");
        }
        let broken = read(&flag, &format!("{value}\n{value}"));
        if flag == "--jwt-hs256-secret" {
            // It means nothing alone, and may be anything within.
            assert_eq!(
                broken.unwrap().jwt_hs256_secret.unwrap().expose(),
                "/some/text\n/some/text"
            );
            continue;
        }
        let said = broken.unwrap_err();
        assert!(said.contains(&flag) && said.contains("as one line"), "{said}");
        assert!(!said.contains(&value), "{said}");
    }
    // Within, and of two kinds, they may be meant.
    for meant in ["it's", "\"a' b", "\"", "a\""] {
        assert_eq!(read("--jwt-issuer", meant).unwrap().jwt_issuer.as_deref(), Some(meant));
    }
}

#[test]
fn secrets_are_not_printed() {
    let mut config = config(&[]);
    config.database_url = Some(Secret::from("postgres://u:hunter2@h/d".to_owned()));
    let debug = format!("{config:?}");
    assert!(!debug.contains("hunter2") && !debug.contains(SECRET), "{debug}");
}
