//! Redis servers that belong together: a cluster, and a master with sentinels.

use crate::process::eventually;
use crate::redis::{RedisServer, RedisSettings};
use crate::resp::ADMIN;

/// Three masters of a cluster, without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters.
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts it, and waits until all of its slots are served.
    pub async fn start(settings: RedisSettings) -> Self {
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(RedisServer::start(RedisSettings { cluster: true, ..settings.clone() }).await);
        }
        for (index, server) in servers.iter().enumerate() {
            let (first, last) = (index * 16384 / 3, (index + 1) * 16384 / 3 - 1);
            server.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            server.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await;
        }
        for other in &servers[1..] {
            let bus = other.ask(&["CONFIG", "GET", "cluster-port"]).await;
            let bus = bus.lines().nth(1).unwrap_or_default().to_owned();
            servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus]).await;
        }
        let cluster = Self { servers };
        cluster.is_whole().await;
        cluster
    }

    /// Waits until every server knows that all slots are served, by three.
    pub async fn is_whole(&self) {
        eventually("the cluster is whole", async || {
            for server in &self.servers {
                let info = server.try_ask(&["CLUSTER", "INFO"]).await.unwrap_or_default();
                if !info.contains("cluster_state:ok") || !info.contains("cluster_known_nodes:3") {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// The addresses of all.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::address).collect()
    }

    /// Moves the slots of all keys from the first server to the second, as an operator would.
    pub async fn move_slots(&self) -> usize {
        let [from, to] = [&self.servers[0], &self.servers[1]];
        let ids = [from.ask(&["CLUSTER", "MYID"]).await, to.ask(&["CLUSTER", "MYID"]).await];
        let mut moved = 0;
        for slot in 0..16384 / 3 {
            let slot = slot.to_string();
            if from.ask(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).await == "0" {
                continue;
            }
            moved += 1;
            to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]).await;
            from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]).await;
            loop {
                let keys = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
                if keys.is_empty() {
                    break;
                }
                let port = to.port().to_string();
                let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH2", ADMIN[0], ADMIN[1]];
                migrate.push("KEYS");
                migrate.extend(keys.lines());
                from.ask(&migrate).await;
            }
            for server in [to, from, &self.servers[2]] {
                server.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]).await;
            }
        }
        moved
    }
}

/// A master, a replica, and three sentinels that watch them.
#[derive(Debug)]
pub struct RedisSentinels {
    /// The first is the master at first.
    pub servers: Vec<RedisServer>,
    /// The sentinels.
    pub sentinels: Vec<RedisServer>,
}

/// The master's name.
pub const MASTER: &str = "mymaster";

impl RedisSentinels {
    /// Starts them, and waits until they know each other.
    pub async fn start(settings: RedisSettings) -> Self {
        let [admin, password] = ADMIN;
        let mut settings = settings;
        settings.lines.extend([format!("masteruser {admin}"), format!("masterauth {password}")]);
        // The replica is asked for its data at once, and not only after five seconds.
        settings.lines.push("repl-diskless-sync-delay 0".to_owned());
        let master = RedisServer::start(settings.clone()).await;
        settings.lines.push(format!("replicaof 127.0.0.1 {}", master.port()));
        let replica = RedisServer::start(settings).await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let lines = [
                format!("sentinel monitor {MASTER} 127.0.0.1 {} 2", master.port()),
                format!("sentinel auth-user {MASTER} {admin}"),
                format!("sentinel auth-pass {MASTER} {password}"),
                format!("sentinel down-after-milliseconds {MASTER} 2000"),
                format!("sentinel failover-timeout {MASTER} 5000"),
                format!("sentinel sentinel-user {admin}"),
                format!("sentinel sentinel-pass {password}"),
            ];
            let settings = RedisSettings { lines: lines.to_vec(), ..RedisSettings::default() };
            sentinels.push(RedisServer::start_as(settings, true).await);
        }
        let group = Self { servers: vec![master, replica], sentinels };
        group.are_ready().await;
        group
    }

    /// Waits until the sentinels know each other and the replica, and the replica has its data.
    pub async fn are_ready(&self) {
        eventually("the sentinels know each other", async || {
            for sentinel in &self.sentinels {
                let master = sentinel.try_ask(&["SENTINEL", "MASTER", MASTER]).await.unwrap_or_default();
                let lines: Vec<_> = master.lines().collect();
                let value = |name: &str| lines.iter().position(|line| *line == name).and_then(|at| lines.get(at + 1));
                if value("num-other-sentinels") != Some(&"2") || value("num-slaves") != Some(&"1") {
                    return None;
                }
            }
            let replication = self.servers[1].try_ask(&["INFO", "replication"]).await.unwrap_or_default();
            (replication.contains("master_link_status:up") || replication.contains("role:master")).then_some(())
        })
        .await;
    }

    /// The addresses of the sentinels.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::address).collect()
    }

    /// The master's address, as the sentinels have it.
    pub async fn master(&self) -> String {
        let address = self.sentinels[0].ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]).await;
        address.replace('\n', ":")
    }
}
