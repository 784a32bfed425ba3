//! The benchmark's program over quinn or noq, which share an ancestor and most of their interface. One thread, AES-128-GCM
//! and X25519 only, sockets with 2 MB buffers (the system's default loses packets on loopback).
#![allow(unexpected_cfgs)]

use std::{
    io::Read,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quic::{
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls::{
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{ring, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    DigitallySignedStruct, SignatureScheme,
};

#[cfg(feature = "quinn")]
const IMPL: &str = "quinn 0.11.12";
#[cfg(feature = "noq")]
const IMPL: &str = "noq 1.4.0";

/// noq gives a connection up when more than 2,048 frames wait in one stream, so its window stays below that.
#[cfg(feature = "quinn")]
const STREAM_WINDOW: u32 = 16_000_000;
#[cfg(feature = "noq")]
const STREAM_WINDOW: u32 = 2_000_000;
const CONNECTION_WINDOW: u32 = 24_000_000;
const CHUNK: usize = 64 * 1024;
const STREAM_BYTES: u64 = 100_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

fn number(name: &str, otherwise: u64) -> u64 {
    option(name).map_or(otherwise, |text| text.parse().expect(name))
}

fn main() -> Result<(), Failure> {
    let role = std::env::args().nth(1).unwrap_or_default();
    let addr: SocketAddr = option("--addr").expect("--addr IP:PORT").parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match role.as_str() {
            "server" => serve(addr).await,
            "client" => client(addr).await,
            _ => Err("server or client".into()),
        }
    })
}

fn until_stdin_closes() -> std::thread::JoinHandle<()> {
    std::thread::spawn(|| {
        let mut sink = [0u8; 64];
        let mut stdin = std::io::stdin();
        while matches!(stdin.read(&mut sink), Ok(count) if count > 0) {}
    })
}

async fn serve(addr: SocketAddr) -> Result<(), Failure> {
    let endpoint = Endpoint::new(
        EndpointConfig::default(),
        Some(server_config()?),
        socket(addr)?,
        Arc::new(TokioRuntime),
    )?;
    println!("ready");
    std::thread::spawn(|| {
        let _ = until_stdin_closes().join();
        std::process::exit(0);
    });
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(answer(send, receive));
            }
        });
    }
    Ok(())
}

async fn answer(mut send: SendStream, mut receive: RecvStream) -> Result<(), Failure> {
    let mut header = [0u8; 9];
    receive.read_exact(&mut header).await?;
    let bytes = u64::from_be_bytes(header[..8].try_into()?);
    if header[8] == 0 {
        write(&mut send, bytes).await?;
    } else {
        let counted = count(&mut receive).await?;
        send.write_all(&counted.to_be_bytes()).await?;
    }
    send.finish()?;
    Ok(())
}

async fn write(send: &mut SendStream, mut bytes: u64) -> Result<(), Failure> {
    let chunk = Bytes::from((0..CHUNK).map(|index| (index * 31) as u8).collect::<Vec<_>>());
    while bytes > 0 {
        let length = bytes.min(CHUNK as u64);
        send.write_chunk(chunk.slice(..length as usize)).await?;
        bytes -= length;
    }
    Ok(())
}

#[cfg(feature = "quinn")]
async fn count(receive: &mut RecvStream) -> Result<u64, Failure> {
    let mut total = 0;
    while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? {
        total += chunk.bytes.len() as u64;
    }
    Ok(total)
}

#[cfg(feature = "noq")]
async fn count(receive: &mut RecvStream) -> Result<u64, Failure> {
    let mut total = 0;
    while let Some(chunk) = receive.read_chunk(usize::MAX).await? {
        total += chunk.len() as u64;
    }
    Ok(total)
}

async fn transfer(connection: &Connection, bytes: u64, upload: bool) -> Result<(), Failure> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let mut header = [0u8; 9];
    header[..8].copy_from_slice(&bytes.to_be_bytes());
    header[8] = upload as u8;
    send.write_all(&header).await?;
    if upload {
        write(&mut send, bytes).await?;
        send.finish()?;
        let mut counted = [0u8; 8];
        receive.read_exact(&mut counted).await?;
        if u64::from_be_bytes(counted) != bytes {
            return Err("the server counted other bytes".into());
        }
    } else {
        send.finish()?;
        if count(&mut receive).await? != bytes {
            return Err("other bytes than asked for".into());
        }
    }
    Ok(())
}

async fn client(addr: SocketAddr) -> Result<(), Failure> {
    let local: SocketAddr = if addr.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse()?;
    #[allow(unused_mut)]
    let mut endpoint = Endpoint::new(EndpointConfig::default(), None, socket(local)?, Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(client_config()?);
    let connect = || async { Ok::<_, Failure>(endpoint.connect(addr, "localhost")?.await?) };
    let mode = option("--mode").unwrap_or_default();
    let k = number("--count", 1000);
    match mode.as_str() {
        "download" | "upload" => {
            let bytes = number("--bytes", 200_000_000);
            let connection = connect().await?;
            let before = cpu_seconds();
            let start = Instant::now();
            transfer(&connection, bytes, mode == "upload").await?;
            let seconds = start.elapsed().as_secs_f64();
            let gbps = bytes as f64 * 8e-9 / seconds;
            let cpu = cpu_seconds();
            println!(
                r#"{{"impl":"{IMPL}","mode":"{mode}","bytes":{bytes},"seconds":{seconds:.6},"gbps":{gbps:.4},"cpu_s":{cpu:.4},"transfer_cpu_s":{:.4}}}"#,
                cpu - before
            );
        }
        "rr" => {
            let connection = connect().await?;
            let start = Instant::now();
            for _ in 0..k {
                transfer(&connection, 64, false).await?;
            }
            let seconds = start.elapsed().as_secs_f64();
            println!(
                r#"{{"impl":"{IMPL}","mode":"rr","count":{k},"seconds":{seconds:.6},"per_s":{:.1}}}"#,
                k as f64 / seconds
            );
        }
        "handshakes" => {
            let start = Instant::now();
            for _ in 0..k {
                connect().await?.close(VarInt::from_u32(0), b"");
            }
            let seconds = start.elapsed().as_secs_f64();
            println!(
                r#"{{"impl":"{IMPL}","mode":"handshakes","count":{k},"seconds":{seconds:.6},"per_s":{:.1},"cpu_s":{:.4}}}"#,
                k as f64 / seconds,
                cpu_seconds()
            );
        }
        "idle" => {
            let mut connections = Vec::new();
            for _ in 0..k {
                connections.push(connect().await?);
            }
            println!(r#"{{"impl":"{IMPL}","count":{k},"rss_bytes":{}}}"#, resident_bytes()?);
            let stdin = until_stdin_closes();
            while !stdin.is_finished() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        "streams" => {
            let connection = connect().await?;
            let start = Instant::now();
            let tasks: Vec<_> = (0..k)
                .map(|_| {
                    let connection = connection.clone();
                    tokio::spawn(async move { transfer(&connection, STREAM_BYTES, false).await })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            let seconds = start.elapsed().as_secs_f64();
            println!(
                r#"{{"impl":"{IMPL}","mode":"streams","count":{k},"seconds":{seconds:.6},"gbps":{:.4}}}"#,
                (k * STREAM_BYTES) as f64 * 8e-9 / seconds
            );
        }
        _ => return Err(format!("no mode {mode:?} here").into()),
    }
    endpoint.close(VarInt::from_u32(0), b"");
    tokio::time::sleep(Duration::from_millis(10)).await;
    Ok(())
}

fn socket(addr: SocketAddr) -> Result<UdpSocket, Failure> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(addr),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    socket.set_recv_buffer_size(2 * 1024 * 1024)?;
    socket.set_send_buffer_size(2 * 1024 * 1024)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn transport() -> Result<Arc<TransportConfig>, Failure> {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(CONNECTION_WINDOW.into())
        .max_concurrent_bidi_streams(VarInt::from_u32(100))
        .max_idle_timeout(Some(Duration::from_secs(60).try_into()?));
    Ok(Arc::new(transport))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    })
}

fn server_config() -> Result<ServerConfig, Failure> {
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der()));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)?;
    tls.alpn_protocols = vec![b"bench".to_vec()];
    tls.send_tls13_tickets = 0;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport()?);
    Ok(config)
}

fn client_config() -> Result<ClientConfig, Failure> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NoVerification))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"bench".to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport()?);
    Ok(config)
}

/// The certificate is made on the spot, so there is nothing to verify it by; its signature is checked.
#[derive(Debug)]
struct NoVerification;

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn cpu_seconds() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the structure it is given.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn resident_bytes() -> Result<u64, Failure> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).ok_or("statm")?.parse()?;
    // SAFETY: sysconf has no preconditions.
    Ok(pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64)
}
