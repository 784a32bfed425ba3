// The benchmark's program over quic-go. One thread (GOMAXPROCS=1, unless the environment says otherwise), AES-128-GCM
// and X25519 only: its default key exchange would be X25519MLKEM768.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	impl        = "quic-go 0.65.0"
	chunkBytes  = 64 * 1024
	streamBytes = 100_000
)

var config = &quic.Config{
	InitialStreamReceiveWindow:     16_000_000,
	MaxStreamReceiveWindow:         16_000_000,
	InitialConnectionReceiveWindow: 24_000_000,
	MaxConnectionReceiveWindow:     24_000_000,
	MaxIncomingStreams:             1 << 40,
	MaxIdleTimeout:                 time.Minute,
}

var chunk = func() []byte {
	bytes := make([]byte, chunkBytes)
	for index := range bytes {
		bytes[index] = byte(index * 31)
	}
	return bytes
}()

func main() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
	if len(os.Args) < 2 {
		fail(errors.New("the first argument is server or client"))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:4433", "IP:PORT")
	mode := flags.String("mode", "download", "what to measure")
	bytes := flags.Uint64("bytes", 200_000_000, "of a transfer")
	count := flags.Int("count", 1000, "of everything else")
	_ = flags.Parse(os.Args[2:])
	if os.Args[1] == "server" {
		fail(serve(*addr))
	}
	if err := client(*addr, *mode, *bytes, *count); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func listenUDP(addr string) (*quic.Transport, error) {
	local, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", local)
	if err != nil {
		return nil, err
	}
	return &quic.Transport{Conn: conn}, nil
}

func serve(addr string) error {
	identity, err := selfSigned()
	if err != nil {
		return err
	}
	transport, err := listenUDP(addr)
	if err != nil {
		return err
	}
	listener, err := transport.Listen(&tls.Config{
		Certificates:           []tls.Certificate{identity},
		NextProtos:             []string{"bench"},
		CurvePreferences:       []tls.CurveID{tls.X25519},
		SessionTicketsDisabled: true,
	}, config)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return err
		}
		go func() {
			for {
				stream, err := conn.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go answer(stream)
			}
		}()
	}
}

func answer(stream *quic.Stream) {
	defer stream.Close()
	var header [9]byte
	if _, err := io.ReadFull(stream, header[:]); err != nil {
		return
	}
	if header[8] == 0 {
		_ = write(stream, binary.BigEndian.Uint64(header[:8]))
		return
	}
	counted, err := countAll(stream)
	if err != nil {
		return
	}
	binary.BigEndian.PutUint64(header[:8], counted)
	_, _ = stream.Write(header[:8])
}

func write(stream *quic.Stream, bytes uint64) error {
	for bytes > 0 {
		length := min(bytes, chunkBytes)
		if _, err := stream.Write(chunk[:length]); err != nil {
			return err
		}
		bytes -= length
	}
	return nil
}

func countAll(stream *quic.Stream) (total uint64, err error) {
	buffer := make([]byte, chunkBytes)
	for {
		read, err := stream.Read(buffer)
		total += uint64(read)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func transfer(conn *quic.Conn, bytes uint64, upload bool) error {
	stream, err := conn.OpenStreamSync(context.Background())
	if err != nil {
		return err
	}
	var header [9]byte
	binary.BigEndian.PutUint64(header[:8], bytes)
	if upload {
		header[8] = 1
	}
	if _, err := stream.Write(header[:]); err != nil {
		return err
	}
	if upload {
		if err := write(stream, bytes); err != nil {
			return err
		}
	}
	if err := stream.Close(); err != nil {
		return err
	}
	if upload {
		if _, err := io.ReadFull(stream, header[:8]); err != nil {
			return err
		}
		if binary.BigEndian.Uint64(header[:8]) != bytes {
			return errors.New("the server counted other bytes")
		}
		return nil
	}
	counted, err := countAll(stream)
	if err == nil && counted != bytes {
		err = errors.New("other bytes than asked for")
	}
	return err
}

func report(fields map[string]any) {
	fields["impl"] = impl
	line, _ := json.Marshal(fields)
	fmt.Println(string(line))
}

func client(addr, mode string, bytes uint64, count int) error {
	remote, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return err
	}
	transport, err := listenUDP("127.0.0.1:0")
	if err != nil {
		return err
	}
	settings := &tls.Config{
		InsecureSkipVerify: true,
		ServerName:         "localhost",
		NextProtos:         []string{"bench"},
		CurvePreferences:   []tls.CurveID{tls.X25519},
	}
	connect := func() (*quic.Conn, error) {
		return transport.Dial(context.Background(), remote, settings, config)
	}
	if mode == "handshakes" {
		start := time.Now()
		for range count {
			conn, err := connect()
			if err != nil {
				return err
			}
			if err := conn.CloseWithError(0, ""); err != nil {
				return err
			}
		}
		elapsed := time.Since(start).Seconds()
		report(map[string]any{"mode": mode, "count": count, "seconds": elapsed, "per_s": float64(count) / elapsed, "cpu_s": cpuSeconds()})
		return nil
	}
	if mode == "idle" {
		for range count {
			if _, err := connect(); err != nil {
				return err
			}
		}
		report(map[string]any{"mode": mode, "count": count, "rss_bytes": residentBytes()})
		_, _ = io.Copy(io.Discard, os.Stdin)
		return nil
	}
	conn, err := connect()
	if err != nil {
		return err
	}
	defer conn.CloseWithError(0, "")
	before := cpuSeconds()
	start := time.Now()
	switch mode {
	case "download", "upload":
		if err := transfer(conn, bytes, mode == "upload"); err != nil {
			return err
		}
		elapsed := time.Since(start).Seconds()
		cpu := cpuSeconds()
		report(map[string]any{"mode": mode, "bytes": bytes, "seconds": elapsed, "gbps": float64(bytes) * 8e-9 / elapsed, "cpu_s": cpu, "transfer_cpu_s": cpu - before})
	case "rr":
		for range count {
			if err := transfer(conn, 64, false); err != nil {
				return err
			}
		}
		elapsed := time.Since(start).Seconds()
		report(map[string]any{"mode": mode, "count": count, "seconds": elapsed, "per_s": float64(count) / elapsed, "cpu_s": cpuSeconds()})
	case "streams":
		var group sync.WaitGroup
		failures := make(chan error, count)
		for range count {
			group.Add(1)
			go func() {
				defer group.Done()
				if err := transfer(conn, streamBytes, false); err != nil {
					failures <- err
				}
			}()
		}
		group.Wait()
		select {
		case err := <-failures:
			return err
		default:
		}
		elapsed := time.Since(start).Seconds()
		report(map[string]any{"mode": mode, "count": count, "seconds": elapsed, "gbps": float64(count) * streamBytes * 8e-9 / elapsed, "cpu_s": cpuSeconds()})
	default:
		return fmt.Errorf("no mode %q here", mode)
	}
	return nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func residentBytes() int {
	var size, resident int
	text, _ := os.ReadFile("/proc/self/statm")
	_, _ = fmt.Sscan(string(text), &size, &resident)
	return resident * os.Getpagesize()
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "bench"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
