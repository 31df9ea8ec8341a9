//! `docker-compose.yml` and `Dockerfile`: what they name is there, pinned, and closed to the outside.

use std::process::Command;

use super::{read, root, services, strings, succeeds, yaml};

#[test]
fn every_service_has_a_pinned_image_and_a_health_check() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        let version = tag.trim_start_matches('v');
        assert_eq!(version.split('.').count(), 3, "{name}: {image} is not pinned to one version");
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{name}: {image} is not a version");
        let own_image = service.get("build").is_some();
        assert!(own_image || service.get("healthcheck").is_some(), "{name} has no health check");
    }
}

#[test]
fn our_own_image_has_the_packages_version_toolchain_and_a_health_check() {
    assert_eq!(services()["citywire"]["image"], format!("citywire:{}", env!("CARGO_PKG_VERSION")));
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"))), "{dockerfile}");
    assert!(dockerfile.contains("\nHEALTHCHECK "), "{dockerfile}");
    let copied = dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from="));
    for source in copied.filter_map(|line| line.split_whitespace().nth(1)) {
        assert!(root().join(source).exists(), "the Dockerfile copies {source}, which is not there");
    }
}

#[test]
fn every_port_is_bound_to_this_machine_only() {
    let mut ports = 0;
    for (name, service) in services() {
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
            ports += 1;
        }
    }
    assert!(ports >= 5, "{ports} ports: broker, page, database, Prometheus and Grafana are to be reached");
}

#[test]
fn everything_that_a_service_names_is_there() {
    let file = yaml("docker-compose.yml");
    let services = services();
    for (name, service) in &services {
        for mount in strings(&service["volumes"]) {
            let source = mount.split(':').next().expect("a mount has a source");
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name} mounts {source}, which is not there");
                assert!(mount.ends_with(":ro"), "{name} could change {source}");
            } else {
                assert!(
                    file["volumes"].get(source).is_some(),
                    "{name} mounts the volume {source}, which is not declared"
                );
            }
        }
        for secret in strings(&service["secrets"]) {
            assert!(
                file["secrets"].get(&secret).is_some(),
                "{name} needs the secret {secret}, which is not declared"
            );
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            let target =
                services.get(other).unwrap_or_else(|| panic!("{name} depends on {other}, which is not there"));
            let checked = target.get("healthcheck").is_some() || target.get("build").is_some();
            assert!(how["condition"] != "service_healthy" || checked, "{other} never becomes healthy");
        }
        let variables = service["environment"].as_object().into_iter().flatten();
        for file in variables.filter(|(key, _)| key.ends_with("_FILE")).filter_map(|(_, value)| value.as_str()) {
            let secret = file.strip_prefix("/run/secrets/").expect("a *_FILE variable names a secret");
            assert!(
                strings(&service["secrets"]).iter().any(|s| s == secret),
                "{name} is not given the secret {secret}"
            );
        }
    }
}

/// Compose's own judgement, schema included. It needs no engine, only the client with its plugin.
#[test]
fn docker_compose_accepts_the_file_where_it_is_installed() {
    if !Command::new("docker").args(["compose", "version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("docker compose is not installed: the other tests of this file have to do");
        return;
    }
    let mut compose = Command::new("docker");
    compose.current_dir(root()).args(["compose", "--profile", "*", "config", "--quiet"]);
    succeeds(&mut compose);
}
