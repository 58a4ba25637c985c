//! Where controllers keep the data of their cluster, as `spec.storage` of a k0s configuration says. Pure.

use std::net::IpAddr;

use serde_json::Value;

/// Kinds of storage, by what becomes of the data when a controller goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// etcd on the controllers, each a member of it.
    Etcd,
    /// One store for all controllers that is none of theirs: an etcd cluster of somebody else, or a database server.
    Shared,
    /// A file or a server on the controller itself, or one of which that cannot be ruled out.
    Local,
}

/// The storage that a `spec.storage` means; none means the default.
#[must_use]
pub fn storage(section: Option<&Value>) -> Storage {
    let field = |path| section.and_then(|section| section.pointer(path));
    let external = field("/etcd/externalCluster").filter(|cluster| !cluster.is_null());
    let kind = field("/type").and_then(Value::as_str).unwrap_or_default();
    let shared = match (kind, external) {
        ("" | "etcd", None) => return Storage::Etcd,
        ("" | "etcd", Some(cluster)) => has_endpoints_elsewhere(cluster),
        ("kine", _) => field("/kine/dataSource")
            .and_then(Value::as_str)
            .is_some_and(is_elsewhere),
        _ => false,
    };
    match shared {
        true => Storage::Shared,
        false => Storage::Local,
    }
}

fn has_endpoints_elsewhere(cluster: &Value) -> bool {
    let endpoints = cluster.get("endpoints").and_then(Value::as_array);
    let elsewhere = |endpoint: &Value| {
        let url = endpoint.as_str().and_then(|url| url.split_once("://"));
        url.is_some_and(|(_, rest)| are_remote(authority(rest)))
    };
    endpoints.is_some_and(|endpoints| !endpoints.is_empty() && endpoints.iter().all(elsewhere))
}

/// Whether a data source of kine, `<backend>://<data source name>`, is a server on another host. A NATS that is not said to
/// be one elsewhere kine runs itself.
fn is_elsewhere(source: &str) -> bool {
    let Some((backend, rest)) = source.trim().split_once("://") else {
        return false;
    };
    match backend {
        "mysql" => mysql_address(rest).is_some_and(are_remote),
        "postgres" | "postgresql" => are_remote(authority(rest)),
        "nats" => {
            let query = rest.split_once('?').map_or("", |(_, query)| query);
            let mut names = query
                .split('&')
                .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
            names.any(|name| name == "noEmbed") && are_remote(authority(rest))
        }
        _ => false,
    }
}

/// Hosts of a URL behind its scheme, with their ports: `[user[:password]@]host[:port][,host[:port]...][/...][?...]`.
fn authority(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts)
}

/// The address in a data source name of MySQL's driver: `[user[:password]@]tcp(address)/database[?...]`.
fn mysql_address(name: &str) -> Option<&str> {
    let (server, _) = name.rsplit_once('/')?;
    let server = server.rsplit_once('@').map_or(server, |(_, server)| server);
    server.strip_prefix("tcp(")?.strip_suffix(')')
}

/// Whether all of these, separated by commas, are hosts other than the one that asks.
fn are_remote(hosts: &str) -> bool {
    hosts.split(',').all(|host| is_remote(host.trim()))
}

fn is_remote(host: &str) -> bool {
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    };
    let local = host == "localhost" || host.ends_with(".localhost");
    match host.parse::<IpAddr>() {
        Ok(address) => !address.is_loopback() && !address.is_unspecified(),
        // Variables that only the host fills in say nothing.
        Err(_) => !host.is_empty() && !local && !host.contains(['{', '$']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str) -> Storage {
        storage(Some(&serde_yaml::from_str(yaml).unwrap()))
    }

    #[test]
    fn etcd_is_the_default() {
        assert_eq!(storage(None), Storage::Etcd);
        for etcd in [
            "{}",
            "{type: etcd}",
            "{type: etcd, etcd: {externalCluster: null}}",
            "{etcd: {peerAddress: 10.0.0.1}}",
        ] {
            assert_eq!(of(etcd), Storage::Etcd, "{etcd}");
        }
    }

    #[test]
    fn an_etcd_of_somebody_else_is_shared() {
        let external = |endpoints: &str| {
            of(&format!(
                "{{etcd: {{externalCluster: {{endpoints: {endpoints}}}}}}}"
            ))
        };
        assert_eq!(
            external("['https://10.0.0.1:2379', 'https://etcd.example.org']"),
            Storage::Shared
        );
        for endpoints in [
            "[]",
            "null",
            "['https://127.0.0.1:2379']",
            "['https://10.0.0.1:2379', 'https://[::1]:2379']",
            "['10.0.0.1:2379']",
        ] {
            assert_eq!(external(endpoints), Storage::Local, "{endpoints}");
        }
    }

    #[test]
    fn a_database_server_is_shared_and_a_file_is_not() {
        let kine = |source: &str| of(&format!("{{type: kine, kine: {{dataSource: '{source}'}}}}"));
        for shared in [
            "mysql://k0s:se@cret/@tcp(db.example.org:3306)/kine",
            "mysql://tcp(10.0.0.9)/kine?charset=utf8",
            "postgres://k0s:secret@10.0.0.9:5432/kine?sslmode=disable",
            "postgresql://db.example.org/kine",
            "postgres://k0s@db1:5432,db2:5432/kine",
            "postgres://[fd00::9]:5432/kine",
            "nats://10.0.0.9:4222?bucket=k0s&noEmbed",
            "nats://a:4222,b:4222?noEmbed=true",
        ] {
            assert_eq!(kine(shared), Storage::Shared, "{shared}");
        }
        for local in [
            "",
            "kine.db",
            "sqlite://file:/var/lib/k0s/db/state.db?mode=rwc",
            "sqlite:///mnt/nfs/state.db",
            "mysql://root@unix(/run/mysqld/mysqld.sock)/kine",
            "mysql://k0s@tcp(localhost:3306)/kine",
            "mysql://k0s@/kine",
            "postgres://localhost:5432/kine",
            "postgres://k0s@127.0.0.1/kine",
            "postgres:///kine?host=/var/run/postgresql",
            "postgres://0.0.0.0/kine",
            "postgres://{{ ds.meta_data.db }}/kine",
            "nats://10.0.0.9:4222",
            "nats://?noEmbed",
            "nats://10.0.0.9:4222?bucket=noEmbed",
            "dqlite://10.0.0.9",
        ] {
            assert_eq!(kine(local), Storage::Local, "{local}");
        }
        assert_eq!(of("{type: kine}"), Storage::Local);
        assert_eq!(of("{type: something}"), Storage::Local);
    }
}
