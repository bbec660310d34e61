//! Addresses, good and bad; both drivers must judge them alike.

/// What an option is set to, and a part of the error that is expected.
pub(crate) type Refused = (&'static str, &'static str);

const BEGIN: &str = "must begin with http:// or https://";
const HOST: &str = "must have a host, and a port of 1 to 65535 or none";
const PORT: &str = HOST;
const BLANK: &str = "must not hold a blank, a control character, \\, ? or #";
const QUERY: &str = BLANK;
const USER: &str = "must not hold a user name or a password";
const PARTS: &str = "must not have a path with an empty part, . or ..";
const PATH: &str = "must be a path such as /api";

/// Impossible and unsuitable servers. In each, `HERE` stands for a host and a port where a listener
/// is, and the host alone is `127.0.0.1`.
pub(crate) const REFUSED_URLS: &[Refused] = &[
    // Ports.
    ("http://127.0.0.1:99999", PORT),
    ("http://127.0.0.1:65536", PORT),
    ("http://127.0.0.1:0", PORT),
    ("http://127.0.0.1:000", PORT),
    ("http://127.0.0.1:", PORT),
    ("http://127.0.0.1:/app", PORT),
    ("http://127.0.0.1:-1", PORT),
    ("http://127.0.0.1:+80", PORT),
    ("http://127.0.0.1:80:80", PORT),
    ("http://127.0.0.1:8o", PORT),
    ("http://127.0.0.1:%38%30", PORT),
    ("http://HERE:80", PORT),
    ("http://h:abc", PORT),
    // Hosts.
    ("http://", HOST),
    ("https://", HOST),
    ("http:///HERE", HOST),
    ("http:///path", HOST),
    ("http://:80", HOST),
    ("http://..", HOST),
    ("http://[::1", HOST),
    ("http://::1", HOST),
    ("http://[::1]:99999", HOST),
    ("http://[::1]x", HOST),
    ("http://[fe80::1%25eth0]", HOST),
    ("http://127.0.0.1]:80", HOST),
    ("http://127.0.0.256", HOST),
    ("http://exa%6Dple%2Forg", HOST),
    ("http://a,b", HOST),
    ("http://a'b", HOST),
    ("http://{host}", HOST),
    ("http://*.example.org", HOST),
    // Blanks and what is taken for something else.
    (" http://HERE", BEGIN),
    ("\thttp://HERE", BEGIN),
    ("http://HERE ", BLANK),
    ("http://HERE\n", BLANK),
    ("http://HERE/a b", BLANK),
    ("http://exa mple.org", BLANK),
    ("http://HERE\t", BLANK),
    ("http://127.0.0.1\n:80", BLANK),
    ("http://127.0.0.1\u{0}", BLANK),
    ("http://HERE/\u{7f}", BLANK),
    ("http://elsewhere\\@HERE", BLANK),
    ("http://HERE\\path", BLANK),
    ("http:\\\\HERE", BEGIN),
    ("http:/HERE", BEGIN),
    ("http:HERE", BEGIN),
    ("ht\ntp://HERE", BEGIN),
    // Where secrets hide.
    ("http://user:hidden@HERE", USER),
    ("http://hidden@HERE", USER),
    ("http://:hidden@HERE", USER),
    ("http://@HERE", USER),
    ("http://HERE@elsewhere", USER),
    ("http://HERE?token=hidden", QUERY),
    ("http://HERE/?", QUERY),
    ("http://HERE/#hidden", QUERY),
    ("http://HERE#", QUERY),
    // Other schemes, or none.
    ("ftp://HERE", BEGIN),
    ("ws://HERE", BEGIN),
    ("wss://HERE", BEGIN),
    ("file:///HERE", BEGIN),
    ("javascript:fetch('http://HERE')", BEGIN),
    ("data:,HERE", BEGIN),
    ("httpx://HERE", BEGIN),
    ("é", BEGIN),
    ("//HERE", BEGIN),
    ("/HERE", BEGIN),
    ("HERE", BEGIN),
    ("example.org", BEGIN),
    // Paths.
    ("http://HERE//app", PARTS),
    ("http://HERE/app//x", PARTS),
    ("http://HERE/app/..", PARTS),
    ("http://HERE/./app", PARTS),
    ("http://HERE/app/%2e%2E/x", PARTS),
    ("http://HERE/.%2e/x", PARTS),
];

/// Paths that might lead elsewhere.
pub(crate) const REFUSED_BASE_PATHS: &[Refused] = &[
    ("//other.host", PATH),
    ("//HERE/api", PATH),
    ("//", PATH),
    ("///", PATH),
    ("@HERE", PATH),
    (":99", PATH),
    (":99/api", PATH),
    ("\\\\other.host", BLANK),
    ("/\\other.host", BLANK),
    ("/api\\..", BLANK),
    ("/a b", BLANK),
    ("/api\r\nHost: other.host", BLANK),
    ("/api\u{0}", BLANK),
    ("\t/api", BLANK),
    ("/api?token=hidden", QUERY),
    ("/api#hidden", QUERY),
    ("..", PARTS),
    ("/..", PARTS),
    ("/api/../..", PARTS),
    ("/./api", PARTS),
    ("/%2e%2e/api", PARTS),
    ("/api/.%2E", PARTS),
    ("/api//v1", PARTS),
];

/// `url`, base path, the socket's address before its own path, and the snapshot's address.
pub(crate) const ACCEPTED: &[[&str; 4]] = &[
    ["http://127.0.0.1:9112", "/api", "ws://127.0.0.1:9112", "http://127.0.0.1:9112/api/dashboard"],
    ["https://example.org", "/api", "wss://example.org", "https://example.org/api/dashboard"],
    ["https://example.org/", "/api/", "wss://example.org", "https://example.org/api/dashboard"],
    ["https://example.org//", "api", "wss://example.org", "https://example.org/api/dashboard"],
    ["https://example.org/app/", "", "wss://example.org/app", "https://example.org/app/dashboard"],
    ["https://example.org/a/b", "/", "wss://example.org/a/b", "https://example.org/a/b/dashboard"],
    ["https://e.org", "v1/api//", "wss://e.org", "https://e.org/v1/api/dashboard"],
    ["HTTPS://Example.ORG:443", "/Api", "wss://example.org", "https://example.org/Api/dashboard"],
    ["hTTp://h:80", "/api", "ws://h", "http://h/api/dashboard"],
    ["http://h:443", "/api", "ws://h:443", "http://h:443/api/dashboard"],
    ["https://h:80", "/api", "wss://h:80", "https://h:80/api/dashboard"],
    ["http://h:65535", "/api", "ws://h:65535", "http://h:65535/api/dashboard"],
    ["http://h:08080", "/api", "ws://h:8080", "http://h:8080/api/dashboard"],
    ["http://[::1]:9112/", "/api", "ws://[::1]:9112", "http://[::1]:9112/api/dashboard"],
    ["http://[0:0::0:1]", "/api", "ws://[::1]", "http://[::1]/api/dashboard"],
    // One reading of it, whatever it was written as.
    ["http://0x7f.1:9112", "/api", "ws://127.0.0.1:9112", "http://127.0.0.1:9112/api/dashboard"],
    [
        "http://back_end-1:9112",
        "/api",
        "ws://back_end-1:9112",
        "http://back_end-1:9112/api/dashboard",
    ],
    ["http://example.org.", "/api", "ws://example.org.", "http://example.org./api/dashboard"],
    [
        "https://bücher.example/é",
        "/api",
        "wss://xn--bcher-kva.example/%C3%A9",
        "https://xn--bcher-kva.example/%C3%A9/api/dashboard",
    ],
    ["http://h", "/users/@me/...", "ws://h", "http://h/users/@me/.../dashboard"],
    ["http://h", "/a:99/@b", "ws://h", "http://h/a:99/@b/dashboard"],
    ["http://h/@a/:1", "/api", "ws://h/@a/:1", "http://h/@a/:1/api/dashboard"],
];
