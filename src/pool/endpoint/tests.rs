use super::*;

fn config(base_url: &str, api_key: &str) -> Config {
    Config {
        base_url: base_url.to_owned(),
        api_key: Pii::new(api_key.to_owned()),
        ..Config::default()
    }
}

#[test]
fn any_usual_spelling_of_the_address_works() {
    for (written, meant) in [
        ("http://localhost:8080", "http://localhost:8080/v1/models"),
        ("http://localhost:8080/", "http://localhost:8080/v1/models"),
        (
            "http://localhost:8080/v1",
            "http://localhost:8080/v1/models",
        ),
        (
            " http://localhost:8080/v1/ ",
            "http://localhost:8080/v1/models",
        ),
        (
            "https://gw.example/openai/v1/",
            "https://gw.example/openai/v1/models",
        ),
        (OPENAI_BASE_URL, "https://api.openai.com/v1/models"),
    ] {
        let endpoint = Endpoint::new(&config(written, "k")).unwrap();
        assert_eq!(endpoint.url("/models"), meant, "written as {written:?}");
    }
}

#[test]
fn unusable_addresses_are_refused() {
    for (written, error) in [
        ("localhost", EndpointError::NotAUrl),
        ("localhost:8080", EndpointError::NotHttp),
        ("ftp://localhost", EndpointError::NotHttp),
        ("http://user:pw@localhost", EndpointError::HasCredentials),
        ("http://localhost/v1?key=1", EndpointError::HasQuery),
    ] {
        assert_eq!(
            Endpoint::new(&config(written, "k")).unwrap_err(),
            error,
            "written as {written:?}"
        );
    }
}

#[test]
fn a_key_with_a_line_break_inside_is_an_error_and_one_at_its_end_is_not() {
    assert_eq!(
        Endpoint::new(&config(OPENAI_BASE_URL, "sk\n1")).unwrap_err(),
        EndpointError::NotAHeader("api_key")
    );
    let endpoint = Endpoint::new(&config(OPENAI_BASE_URL, "sk-1\n")).unwrap();
    assert_eq!(endpoint.headers()[AUTHORIZATION], "Bearer sk-1");
}

#[test]
fn the_shared_key_never_goes_to_another_host() {
    let shared = config("https://api.openai.com", "sk-1");
    let stage = |base_url: &str, api_key: &str| {
        let api_key = Pii::new(api_key.to_owned());
        Endpoint::for_stage(&shared, base_url, &api_key).unwrap()
    };
    assert!(stage("", "").has_key());
    assert!(stage("https://api.openai.com/v2", "").has_key());
    assert!(!stage("http://localhost:9/v1", "").has_key());
    let own = stage("http://localhost:9", "sk-2");
    assert_eq!(own.headers()[AUTHORIZATION], "Bearer sk-2");
}

#[test]
fn no_key_means_no_authorization_header() {
    assert!(
        !Endpoint::new(&config(OPENAI_BASE_URL, " "))
            .unwrap()
            .has_key()
    );
}

#[test]
fn another_service_has_its_own_address_headers_and_health_check() {
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("apikey"),
        HeaderValue::from_static("sb-secret"),
    )]);
    let url = "https://project.example/";
    let endpoint = Endpoint::of(Service::Supabase, url, headers).unwrap();
    let endpoint = endpoint.health_path("/rest/v1/");
    assert_eq!(endpoint.service(), Service::Supabase);
    assert_eq!(&**endpoint.host(), "project.example:443");
    assert_eq!(
        endpoint.url("/rest/v1/rows"),
        "https://project.example/rest/v1/rows"
    );
    assert_eq!(endpoint.health_url(), "https://project.example/rest/v1/");
    assert_eq!(endpoint.headers()["apikey"], "sb-secret");
    assert!(!format!("{endpoint:?} {:?}", endpoint.headers()).contains("secret"));
}

#[test]
fn debug_output_shows_no_key() {
    let endpoint = Endpoint::new(&config(OPENAI_BASE_URL, "sk-secret")).unwrap();
    assert!(!format!("{endpoint:?} {:?}", endpoint.headers()).contains("secret"));
}
