use super::*;

type Spoil = fn(&mut BrokerConfig);

fn two_groups() -> BrokerConfig {
    let endpoint = |n: u32| GroupEndpoint {
        name: format!("g{n}"),
        endpoint: format!("shop-g{n}.default.svc:8081"),
        phase: GroupPhase::Serving,
    };
    let listener = ListenerConfig {
        name: "public".into(),
        listen: "0.0.0.0:9081".parse().unwrap(),
        groups: vec![AdvertisedGroup { name: "g0".into(), endpoint: "*:30091".into() }],
    };
    BrokerConfig {
        group: "g1".into(),
        groups: vec![endpoint(0), endpoint(1)],
        listeners: vec![listener],
        ..Default::default()
    }
}

#[test]
fn an_empty_file_is_a_valid_configuration() {
    for text in ["", "# nothing but a comment\n", "{}"] {
        assert_eq!(BrokerConfig::from_yaml(text), Ok(BrokerConfig::default()), "{text:?}");
    }
}

#[test]
fn what_is_written_is_read_back_equal() {
    let mut config = two_groups();
    config.log.retention_bytes = Some(8 << 30);
    config.log.flush = Some(FlushMode::Async);
    config.tls.cert_file = Some("/tls/tls.crt".into());
    config.tls.key_file = Some("/tls/tls.key".into());
    let text = config.to_yaml().unwrap();
    assert_eq!(BrokerConfig::from_yaml(&text), Ok(config));
}

#[test]
fn an_unknown_key_is_refused_and_named() {
    let error = BrokerConfig::from_yaml("log: {flsh: Sync}").unwrap_err().to_string();
    assert!(error.contains("flsh"), "{error}");
}

#[test]
fn every_wrong_value_is_refused_with_its_key() {
    let wrong: [(&str, Spoil); 17] = [
        ("cluster:", |c| c.cluster = "Shop".into()),
        ("group:", |c| c.group = "g32".into()),
        ("data:", |c| c.data = PathBuf::new()),
        ("tls:", |c| c.tls.cert_file = Some("/a".into())),
        ("listen and httpListen", |c| c.http_listen = c.listen),
        ("log.segmentBytes: 1 ", |c| c.log.segment_bytes = 1),
        ("log.retentionMs: 0 ", |c| c.log.retention_ms = 0),
        ("maxDelayMs: 5184000001 ", |c| c.max_delay_ms = MAX_DELAY_MS_MAX + 1),
        ("transactions.checkAfterMs: 999 ", |c| c.transactions.check_after_ms = 999),
        ("transactions.maxChecks: 0 ", |c| c.transactions.max_checks = 0),
        ("log.retentionBytes: 5 ", |c| c.log.retention_bytes = Some(5)),
        ("the endpoint `:80` of a group", |c| c.groups[0].endpoint = ":80".into()),
        ("listeners: `a b` must be", |c| c.listeners[0].name = "a b".into()),
        ("listeners: `public` is listed twice", |c| c.listeners.push(c.listeners[0].clone())),
        ("listen and listeners.public both", |c| c.listeners[0].listen = c.listen),
        ("groups: `g1` is listed twice", |c| c.groups[0].name = "g1".into()),
        ("groups: `g1` is this broker's", |c| drop(c.groups.pop())),
    ];
    for (text, spoil) in wrong {
        let mut config = two_groups();
        assert_eq!(config.validate(), Ok(()));
        spoil(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(text), "`{error}` should contain `{text}`");
    }
}

#[test]
fn several_free_ports_may_be_asked_for() {
    let mut config = BrokerConfig::default();
    config.listen.set_port(0);
    config.admin_listen.set_port(0);
    config.http_listen.set_port(0);
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn a_change_is_either_taken_over_or_needs_a_restart_or_waits_for_one() {
    let usual = BrokerConfig::default();
    let changed = |text: &str| {
        let config = BrokerConfig::from_yaml(text).unwrap();
        (config.hot() != usual.hot(), config.cold() != usual.cold())
    };
    let all = [
        ("log: {retentionMs: 60000}", (true, false)),
        ("log: {retentionBytes: 1073741824}", (true, false)),
        ("maxDelayMs: 1000", (true, false)),
        ("transactions: {maxChecks: 2}", (true, false)),
        ("tracing: {otlpEndpoint: 'http://a:1'}", (true, false)),
        ("groups: [{name: g0, endpoint: 'a:1'}]", (true, false)),
        ("log: {segmentBytes: 1048576}", (false, false)),
        ("log: {flush: Async}", (false, true)),
        ("data: elsewhere", (false, true)),
    ];
    for (text, expected) in all {
        assert_eq!(changed(text), expected, "{text}");
    }
}

#[test]
fn spans_go_to_a_host_and_port_in_plaintext_and_nowhere_else() {
    let read = |endpoint: &str| BrokerConfig::from_yaml(&format!("tracing: {{otlpEndpoint: '{endpoint}'}}"));
    for good in [
        "http://collector:4317",
        "http://otel.monitoring.svc:4317",
        "http://10.0.0.1:1",
        "http://[fd00::1]:4317",
    ] {
        assert!(read(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "collector:4317",
        "https://collector:4317",
        "http://collector",
        "http://collector:0",
        "http://collector:99999",
        "http://collector:4317/",
        "http://a:b:4317",
        "http://[fd00::1:4317",
        "http://user@collector:4317",
    ] {
        assert_eq!(read(bad), Err(ConfigError::OtlpEndpoint(bad.into())), "{bad}");
    }
}

#[test]
fn a_key_that_older_brokers_do_not_know_is_left_out_unless_it_is_set() {
    assert!(!BrokerConfig::default().to_yaml().unwrap().contains("tracing"));
}
