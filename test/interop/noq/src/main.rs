//! noq as a program of its own: `server CERTIFICATE KEY IDLE_MS` or `client AUTHORITY PORT VERB ARGUMENTS...`.
//!
//! It speaks the protocol of `test/interop/support/ours.ts`. What happens it says in lines of JSON on standard output. A server,
//! and a client with the verb `control`, take commands from standard input: see `control`.
use std::{error::Error, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use noq::{
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    Connection, ConnectionError, Endpoint, FourTuple, PathEvent, PathId, PathStatus, ReadError, ReadToEndError,
    RecvStream, SendStream, TransportConfig, VarInt,
};
use noq_proto::n0_nat_traversal::Event as NatTraversal;
use ring::digest;
use rustls::pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_stream::StreamExt;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ALPN: &[u8] = b"interop";
const BLOCK: usize = 65_521;
/// Paths open at a time.
const PATHS: u32 = 4;

fn block() -> Bytes {
    (0..BLOCK as u64)
        .map(|i| ((i * i + 31 * i) % 251) as u8)
        .collect::<Vec<u8>>()
        .into()
}

/// Pieces of at most a block.
fn pieces(length: usize) -> impl Iterator<Item = Bytes> {
    let whole = block();
    (0..length.div_ceil(BLOCK)).map(move |i| whole.slice(..BLOCK.min(length - i * BLOCK)))
}

fn hex(hash: digest::Digest) -> String {
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pattern_hash(length: usize) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    pieces(length).for_each(|piece| hash.update(&piece));
    hex(hash.finish())
}

fn say(event: &str, fields: &str) {
    println!(
        "{{\"event\":\"{event}\"{}{fields}}}",
        if fields.is_empty() { "" } else { "," }
    );
}

/// The suite that everybody has; rustls would prefer AES-256.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let chacha = std::env::var("SUITE").is_ok_and(|suite| suite == "chacha20");
    provider.cipher_suites.retain(|suite| {
        let name = suite.suite();
        // AES-128 has to stay: it protects the Initial packets.
        name == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
            || (chacha && name == rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)
    });
    if chacha {
        provider
            .cipher_suites
            .sort_by_key(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    }
    Arc::new(provider)
}

fn transport(idle: u64) -> Result<Arc<TransportConfig>> {
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(Duration::from_millis(idle).try_into()?))
        .max_concurrent_bidi_streams(100u32.into())
        .datagram_receive_buffer_size(Some(1 << 20));
    if std::env::var("MULTIPATH").is_ok_and(|value| value == "1") {
        config.max_concurrent_multipath_paths(PATHS);
        // It acknowledges all paths on the lowest one: without a timeout it never notices that this one is dead.
        let idle = std::env::var("PATH_IDLE").ok().and_then(|value| value.parse().ok());
        config.default_path_max_idle_timeout(idle.map(Duration::from_millis));
    }
    if let Some(most) = std::env::var("ADDRESSES").ok().and_then(|value| value.parse().ok()) {
        config.max_remote_nat_traversal_addresses(most);
    }
    if let Ok(role) = std::env::var("OBSERVED") {
        config.send_observed_address_reports(role != "receive");
        config.receive_observed_address_reports(role != "send");
    }
    Ok(Arc::new(config))
}

async fn send_pattern(stream: &mut SendStream, length: usize) -> Result<()> {
    for piece in pieces(length) {
        stream.write_chunk(piece).await?;
    }
    stream.finish()?;
    Ok(())
}

async fn hash_rest(stream: &mut RecvStream, first: &[u8]) -> Result<String> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(first);
    while let Some(chunk) = stream.read_chunk(usize::MAX).await? {
        hash.update(&chunk);
    }
    Ok(hex(hash.finish()))
}

async fn answer(connection: Connection, mut send: SendStream, mut receive: RecvStream) -> Result<()> {
    let mut head: Vec<u8> = Vec::new();
    while !head.contains(&b'\n') {
        match receive.read_chunk(usize::MAX).await? {
            Some(chunk) => head.extend_from_slice(&chunk),
            None => break,
        }
    }
    let end = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
    let line = String::from_utf8_lossy(&head[..end]).into_owned();
    let rest = &head[(end + 1).min(head.len())..];
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match words.as_slice() {
        ["GET", length] => send_pattern(&mut send, length.parse()?).await?,
        ["PUT"] => {
            let hash = hash_rest(&mut receive, rest).await?;
            send.write_all(hash.as_bytes()).await?;
            send.finish()?;
        }
        ["CLOSE", code, reason] => connection.close(code.parse::<u32>()?.into(), reason.as_bytes()),
        ["RESET", code] => send.reset(code.parse::<u32>()?.into())?,
        ["STOP", code] => {
            receive.stop(code.parse::<u32>()?.into())?;
            send.finish()?;
        }
        ["KEYS"] => {
            connection.force_key_update();
            send.write_all(b"true").await?;
            send.finish()?;
        }
        _ => {
            send.write_all(rest).await?;
            while let Some(chunk) = receive.read_chunk(usize::MAX).await? {
                send.write_chunk(chunk).await?;
            }
            send.finish()?;
        }
    }
    Ok(())
}

fn watch(connection: &Connection) {
    let mut events = connection.path_events();
    tokio::spawn(async move {
        while let Some(Ok(event)) = events.next().await {
            match event {
                PathEvent::Established { id, .. } => say(&format!("established {id}"), ""),
                PathEvent::Abandoned { id, reason, .. } => say(
                    &format!("abandoned {id}"),
                    &format!("\"why\":{:?}", format!("{reason:?}")),
                ),
                PathEvent::Discarded { id, .. } => say(&format!("discarded {id}"), ""),
                PathEvent::RemoteStatus { id, status, .. } => say(&format!("status {id} {status:?}"), ""),
                PathEvent::ObservedAddr { id, addr, .. } => say(&format!("observed {id} {addr}"), ""),
                _ => {}
            }
        }
    });
    let mut updates = connection.nat_traversal_updates();
    tokio::spawn(async move {
        while let Some(Ok(update)) = updates.next().await {
            match update {
                NatTraversal::AddressAdded(address) => say(&format!("advertised {address}"), ""),
                NatTraversal::AddressRemoved(address) => say(&format!("withdrawn {address}"), ""),
            }
        }
    });
    let connection = connection.clone();
    tokio::spawn(async move {
        let (code, reason) = match connection.closed().await {
            ConnectionError::ApplicationClosed(close) => (
                close.error_code.into_inner() as i64,
                String::from_utf8_lossy(&close.reason).into_owned(),
            ),
            other => (-1, other.to_string()),
        };
        say("closed", &format!("\"errorCode\":{code},\"reason\":{reason:?}"));
    });
}

fn path_figures(connection: &Connection) -> String {
    let paths: Vec<String> = (0..8u32)
        .filter_map(|id| connection.path_stats(PathId::from(id)).map(|stats| (id, stats)))
        .map(|(id, stats)| {
            format!(
                "{{\"id\":{id},\"sent\":{},\"received\":{},\"acks\":{},\"pathAcks\":{},\"lost\":{}}}",
                stats.udp_tx.bytes,
                stats.udp_rx.bytes,
                stats.frame_rx.acks,
                stats.frame_rx.path_acks,
                stats.lost_packets
            )
        })
        .collect();
    format!("\"paths\":[{}]", paths.join(","))
}

/// `open HOST:PORT [LOCAL_IP]`, `get BYTES`, `put BYTES`, `status PATH available|backup`, `close PATH`, `stats`, `keys`,
/// `advertise HOST:PORT`, `withdraw HOST:PORT`, `end`; each is answered with an event of the whole line.
async fn control(connection: &Connection) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let id = |word: &str| -> Result<PathId> { Ok(PathId::from(word.parse::<u32>()?)) };
        let fields = match words.as_slice() {
            ["open", remote, local @ ..] => {
                let local = local.first().map(|ip| ip.parse::<IpAddr>()).transpose()?;
                let remote: SocketAddr = remote.parse()?;
                match connection
                    .open_path(FourTuple::new(remote, local), PathStatus::Available)
                    .await
                {
                    Ok(path) => format!("\"ok\":true,\"id\":{}", path.id()),
                    Err(error) => format!("\"ok\":false,\"why\":{:?}", error.to_string()),
                }
            }
            ["get", length] => format!("\"ok\":{}", get(connection, length.parse()?).await?),
            ["put", length] => format!("\"ok\":{}", put(connection, length.parse()?).await?),
            ["status", path, status] => {
                let status = if *status == "backup" {
                    PathStatus::Backup
                } else {
                    PathStatus::Available
                };
                match connection.path(id(path)?).map(|path| path.set_status(status)) {
                    Some(Ok(_)) => "\"ok\":true".into(),
                    _ => "\"ok\":false".into(),
                }
            }
            ["close", path] => match connection.path(id(path)?).map(|path| path.close()) {
                Some(Ok(())) => "\"ok\":true".into(),
                _ => "\"ok\":false".into(),
            },
            ["keys"] => {
                connection.force_key_update();
                "\"ok\":true".into()
            }
            ["advertise", address] => {
                format!("\"ok\":{}", connection.add_nat_traversal_address(address.parse()?).is_ok())
            }
            ["withdraw", address] => {
                format!("\"ok\":{}", connection.remove_nat_traversal_address(address.parse()?).is_ok())
            }
            ["stats"] => path_figures(connection),
            _ => return Ok(()),
        };
        say(&line, &fields);
    }
    Ok(())
}

async fn serve(args: &[String]) -> Result<()> {
    let certificates = CertificateDer::pem_file_iter(&args[0])?.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(&args[1])?)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = noq::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport(args[2].parse()?)?);
    let endpoint = Endpoint::server(config, "0.0.0.0:0".parse()?)?;
    say("listening", &format!("\"port\":{}", endpoint.local_addr()?.port()));
    let retry = std::env::var("RETRY").is_ok_and(|value| value == "1");
    while let Some(incoming) = endpoint.accept().await {
        if retry && !incoming.remote_address_validated() {
            say("retry", "");
            incoming.retry().map_err(|error| error.to_string())?;
            continue;
        }
        tokio::spawn(async move {
            let connection = match incoming.await {
                Ok(connection) => connection,
                Err(error) => return say("error", &format!("\"message\":{:?}", error.to_string())),
            };
            say(
                "session",
                &format!("\"multipath\":{}", connection.is_multipath_enabled()),
            );
            watch(&connection);
            let datagrams = connection.clone();
            tokio::spawn(async move {
                while let Ok(bytes) = datagrams.read_datagram().await {
                    let _ = datagrams.send_datagram(bytes);
                }
            });
            let controlled = connection.clone();
            tokio::spawn(async move { control(&controlled).await });
            let uni = connection.clone();
            tokio::spawn(async move {
                while let Ok(mut receive) = uni.accept_uni().await {
                    let line = receive.read_to_end(1000).await?;
                    let mut send = uni.open_uni().await?;
                    send_pattern(
                        &mut send,
                        String::from_utf8(line)?.trim_start_matches("UNI ").trim().parse()?,
                    )
                    .await?;
                }
                Result::Ok(())
            });
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(answer(connection.clone(), send, receive));
            }
        });
    }
    Ok(())
}

async fn get(connection: &Connection, length: usize) -> Result<bool> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(format!("GET {length}\n").as_bytes()).await?;
    send.finish()?;
    Ok(hash_rest(&mut receive, &[]).await? == pattern_hash(length))
}

async fn put(connection: &Connection, length: usize) -> Result<bool> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(b"PUT\n").await?;
    send_pattern(&mut send, length).await?;
    Ok(receive.read_to_end(1000).await? == pattern_hash(length).as_bytes())
}

async fn echo(connection: Connection, length: usize) -> Result<bool> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(b"ECHO\n").await?;
    let back = tokio::spawn(async move { hash_rest(&mut receive, &[]).await });
    send_pattern(&mut send, length).await?;
    Ok(back.await?? == pattern_hash(length))
}

async fn datagrams(connection: &Connection, count: usize, size: usize) -> Result<usize> {
    let mut received = 0;
    for i in 0..count {
        connection.send_datagram(vec![i as u8; size].into())?;
        match tokio::time::timeout(Duration::from_secs(1), connection.read_datagram()).await {
            Ok(back) => received += usize::from(back?.len() == size),
            Err(_) => continue,
        }
    }
    Ok(received)
}

async fn client(args: &[String]) -> Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(&args[0])? {
        roots.add(root?)?;
    }
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut config = noq::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let verb = args[2].as_str();
    let rest = &args[3..];
    let number = |i: usize| rest.get(i).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
    config.transport_config(transport(if verb == "idle" { number(0) as u64 } else { 30_000 })?);
    // A path is a remote address and a local IP on one socket.
    let endpoint = Endpoint::client("0.0.0.0:0".parse()?)?;
    let remote = SocketAddr::from(([127, 0, 0, 1], args[1].parse()?));
    if verb == "resume" {
        let first = endpoint.connect_with(config.clone(), remote, "localhost")?.await?;
        get(&first, 1).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        first.close(0u32.into(), b"back soon");
    }
    let connection = endpoint.connect_with(config, remote, "localhost")?.await?;
    say(
        "session",
        &format!("\"multipath\":{}", connection.is_multipath_enabled()),
    );
    watch(&connection);
    let fields = match verb {
        "control" => {
            control(&connection).await?;
            "\"ok\":true".into()
        }
        "get" | "resume" => format!("\"ok\":{}", get(&connection, number(0)).await?),
        "put" => format!("\"ok\":{}", put(&connection, number(0)).await?),
        "streams" => {
            let tasks: Vec<_> = (0..number(0))
                .map(|_| tokio::spawn(echo(connection.clone(), number(1))))
                .collect();
            let mut ok = true;
            for task in tasks {
                ok &= task.await??;
            }
            format!("\"ok\":{ok}")
        }
        "sequential" => {
            let mut ok = true;
            for _ in 0..number(0) {
                ok &= echo(connection.clone(), number(1)).await?;
            }
            format!("\"ok\":{ok}")
        }
        "uni" => {
            let mut send = connection.open_uni().await?;
            send.write_all(format!("UNI {}\n", rest[0]).as_bytes()).await?;
            send.finish()?;
            let mut receive = connection.accept_uni().await?;
            format!(
                "\"ok\":{}",
                hash_rest(&mut receive, &[]).await? == pattern_hash(number(0))
            )
        }
        "reset" => {
            let (mut send, mut receive) = connection.open_bi().await?;
            send.write_all(format!("RESET {}\n", rest[0]).as_bytes()).await?;
            send.finish()?;
            match receive.read_to_end(1000).await {
                Err(ReadToEndError::Read(ReadError::Reset(code))) => format!("\"ok\":true,\"code\":{code}"),
                other => format!("\"ok\":false,\"why\":{:?}", format!("{other:?}")),
            }
        }
        "stop" => {
            let (mut send, _receive) = connection.open_bi().await?;
            send.write_all(format!("STOP {}\n", rest[0]).as_bytes()).await?;
            match send.stopped().await? {
                Some(code) => format!("\"ok\":true,\"code\":{code}"),
                None => "\"ok\":false".into(),
            }
        }
        "keys" => {
            let mut ok = true;
            for _ in 0..number(0) {
                ok &= put(&connection, 100_000).await?;
                connection.force_key_update();
                ok &= get(&connection, 100_000).await?;
                // It begins no update while it still has the keys of before (three PTOs).
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            format!("\"ok\":{ok}")
        }
        "datagrams" => {
            let received = datagrams(&connection, number(0), number(1)).await?;
            format!("\"ok\":{},\"received\":{received}", received * 100 >= number(0) * 95)
        }
        "close" => {
            let ok = get(&connection, 1).await?;
            connection.close(VarInt::from_u32(number(0) as u32), rest[1].as_bytes());
            endpoint.wait_idle().await;
            format!("\"ok\":{ok}")
        }
        "closed" => {
            let (mut send, _receive) = connection.open_bi().await?;
            send.write_all(format!("CLOSE {} {}\n", rest[0], rest[1]).as_bytes())
                .await?;
            match connection.closed().await {
                ConnectionError::ApplicationClosed(close) => format!(
                    "\"ok\":true,\"errorCode\":{},\"reason\":{:?}",
                    close.error_code,
                    String::from_utf8_lossy(&close.reason)
                ),
                other => format!("\"ok\":false,\"why\":{:?}", other.to_string()),
            }
        }
        _ => {
            get(&connection, 1).await?;
            format!(
                "\"ok\":{}",
                matches!(connection.closed().await, ConnectionError::TimedOut)
            )
        }
    };
    say("done", &fields);
    connection.close(0u32.into(), b"done");
    endpoint.wait_idle().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("server") => serve(&args[1..]).await,
        Some("client") => client(&args[1..]).await,
        _ => Err("server or client".into()),
    }
}
