use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The defaults plus these flags, whatever the environment of the test run holds.
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
    assert_eq!(none.check(), Err(ConfigError::NoKeys));
    let mut both = config(&[]);
    both.jwt_jwks_file = Some("keys.json".into());
    assert_eq!(both.check(), Err(ConfigError::ManyKeys));
    let mut weak = config(&[]);
    weak.jwt_hs256_secret = Some(Secret::from("short".to_owned()));
    assert_eq!(weak.check(), Err(ConfigError::WeakSecret));
}

#[test]
fn published_keys_need_an_issuer_and_client_ids() {
    let mut config = config(&[]);
    config.jwt_hs256_secret = None;
    config.jwt_jwks_url = Some("https://idp.example.org/keys".to_owned());
    assert_eq!(config.check(), Err(ConfigError::OpenIssuer));
    config.jwt_issuer = Some("https://idp.example.org".to_owned());
    assert_eq!(config.check(), Err(ConfigError::OpenIssuer));
    config.jwt_client_ids = vec!["app".to_owned()];
    assert_eq!(config.check(), Ok(()));
    config.jwt_jwks_url = Some("http://idp.example.org/keys".to_owned());
    assert_eq!(config.check(), Err(ConfigError::PlainJwks));
    config.jwt_jwks_url = Some("http://127.0.0.1:9/keys".to_owned());
    assert_eq!(config.check(), Ok(()));
}

#[test]
fn plain_http_stays_on_loopback() {
    let open = config(&["--bind", "0.0.0.0:9112"]);
    assert_eq!(open.check(), Err(ConfigError::PlainHttp("0.0.0.0:9112".parse().unwrap())));
    let admin = config(&["--admin-bind", "192.0.2.1:9113"]);
    assert_eq!(admin.check(), Err(ConfigError::PlainHttp("192.0.2.1:9113".parse().unwrap())));
    let proxied = config(&["--bind", "0.0.0.0:9112", "--behind-proxy"]);
    assert_eq!(proxied.check(), Ok(()));
    assert!(proxied.is_https());
}

#[test]
fn paths_origins_and_cookies_are_checked() {
    assert_eq!(config(&["--base-path", "/"]).prefix(), "");
    assert_eq!(config(&["--base-path", "api"]).check(), Err(ConfigError::BasePath));
    assert_eq!(config(&["--base-path", "/{x}"]).check(), Err(ConfigError::BasePath));
    for bad in ["app.example.org", "https://app.example.org/", "*", "https://"] {
        let error = config(&["--allowed-origins", bad]).check();
        assert_eq!(error, Err(ConfigError::Origin(bad.to_owned())), "{bad}");
    }
    let good = config(&["--allowed-origins", "https://a.example.org,http://localhost:5173"]);
    assert_eq!(good.check(), Ok(()));
    assert_eq!(config(&["--auth-cookie", "a=b"]).check(), Err(ConfigError::Cookie));
}

#[test]
fn refreshes_leave_connections_for_snapshots() {
    let greedy = config(&["--refresh-concurrency", "10"]);
    assert!(matches!(greedy.check(), Err(ConfigError::Concurrency { .. })));
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
    let line = ["dashboard-server", "--tls-cert", "cert.pem"];
    assert!(Config::try_parse_from(line).is_err());
}

#[test]
fn secrets_are_not_printed() {
    let mut config = config(&[]);
    config.database_url = Some(Secret::from("postgres://u:hunter2@h/d".to_owned()));
    let debug = format!("{config:?}");
    assert!(!debug.contains("hunter2") && !debug.contains(SECRET), "{debug}");
}
