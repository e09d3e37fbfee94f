// Command peer is a go-libp2p node for interoperability tests: TCP, Noise and yamux, and three protocols. It prints its
// address as a line of JSON, then answers each line of JSON on its standard input with one on its standard output.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

const (
	// echoProtocol answers with what it is told, then closes its side.
	echoProtocol = "/nz-test/echo/1"
	// sinkProtocol answers the number of bytes with a decimal number once the other side has ended.
	sinkProtocol = "/nz-test/sink/1"
	// resetProtocol resets the stream after its first byte.
	resetProtocol = "/nz-test/reset/1"

	taskTimeout = 60 * time.Second
	// sinkDelay is how long a sink reads nothing, so that a writer meets the end of its window.
	sinkDelay = 100 * time.Millisecond
)

type task struct {
	Do      string `json:"do"`
	Address string `json:"address"`
	Bytes   int    `json:"bytes"`
	Streams int    `json:"streams"`
}

type answer struct {
	OK    bool   `json:"ok"`
	Why   string `json:"why,omitempty"`
	Agent string `json:"agent,omitempty"`
}

func main() {
	node, err := libp2p.New(
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		libp2p.NoTransports, libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(), libp2p.UserAgent("nz-test-go"),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	node.SetStreamHandler(echoProtocol, echo)
	node.SetStreamHandler(sinkProtocol, sink)
	node.SetStreamHandler(resetProtocol, func(s network.Stream) {
		_, _ = s.Read(make([]byte, 1))
		_ = s.Reset()
	})
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(map[string]string{"address": fmt.Sprintf("%s/p2p/%s", node.Addrs()[0], node.ID())})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var t task
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			_ = out.Encode(answer{Why: err.Error()})
			continue
		}
		_ = out.Encode(run(node, t))
	}
	_ = node.Close()
}

func echo(s network.Stream) {
	if _, err := io.Copy(s, s); err != nil {
		_ = s.Reset()
		return
	}
	_ = s.CloseWrite()
}

func sink(s network.Stream) {
	time.Sleep(sinkDelay)
	count, err := io.Copy(io.Discard, s)
	if err != nil {
		_ = s.Reset()
		return
	}
	_, _ = fmt.Fprint(s, count)
	_ = s.Close()
}

func run(node host.Host, t task) answer {
	ctx, cancel := context.WithTimeout(context.Background(), taskTimeout)
	defer cancel()
	if t.Do == "alone" {
		return alone(ctx, node)
	}
	info, err := peer.AddrInfoFromString(t.Address)
	if err != nil {
		return answer{Why: err.Error()}
	}
	if err := node.Connect(ctx, peer.AddrInfo{ID: info.ID, Addrs: []multiaddr.Multiaddr{info.Addrs[0]}}); err != nil {
		return answer{Why: err.Error()}
	}
	switch t.Do {
	case "identify":
		return identify(ctx, node, info.ID)
	case "ping":
		result := <-ping.Ping(ctx, node, info.ID)
		return answerOf(result.Error)
	case "echo":
		return answerOf(exchange(ctx, node, info.ID, t.Bytes))
	case "streams":
		return answerOf(manyStreams(ctx, node, info.ID, t.Streams, t.Bytes))
	case "reset":
		return answerOf(expectReset(ctx, node, info.ID))
	case "close":
		return answerOf(node.Network().ClosePeer(info.ID))
	}
	return answer{Why: "unknown task " + t.Do}
}

func answerOf(err error) answer {
	if err != nil {
		return answer{Why: err.Error()}
	}
	return answer{OK: true}
}

// alone waits until nobody is connected.
func alone(ctx context.Context, node host.Host) answer {
	for ctx.Err() == nil {
		if len(node.Network().Conns()) == 0 {
			return answer{OK: true}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return answer{Why: "somebody stays connected"}
}

func identify(ctx context.Context, node host.Host, id peer.ID) answer {
	for ctx.Err() == nil {
		if agent, err := node.Peerstore().Get(id, "AgentVersion"); err == nil {
			return answer{OK: true, Agent: fmt.Sprint(agent)}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return answer{Why: "never identified"}
}

// exchange sends bytes while it receives them back, and compares.
func exchange(ctx context.Context, node host.Host, id peer.ID, count int) error {
	s, err := node.NewStream(ctx, id, echoProtocol)
	if err != nil {
		return err
	}
	defer s.Reset()
	sent := pattern(count)
	written := make(chan error, 1)
	go func() {
		if _, err := s.Write(sent); err != nil {
			written <- err
			return
		}
		written <- s.CloseWrite()
	}()
	heard, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if err := <-written; err != nil {
		return err
	}
	if !bytes.Equal(heard, sent) {
		return fmt.Errorf("%d bytes came back of %d, or others", len(heard), len(sent))
	}
	return nil
}

func manyStreams(ctx context.Context, node host.Host, id peer.ID, streams, count int) error {
	errs := make([]error, streams)
	var all sync.WaitGroup
	for i := range errs {
		all.Add(1)
		go func() {
			defer all.Done()
			errs[i] = exchange(ctx, node, id, count)
		}()
	}
	all.Wait()
	return errors.Join(errs...)
}

func expectReset(ctx context.Context, node host.Host, id peer.ID) error {
	s, err := node.NewStream(ctx, id, resetProtocol)
	if err != nil {
		return err
	}
	defer s.Reset()
	if _, err := s.Write([]byte{1}); err != nil {
		return err
	}
	if _, err := io.ReadAll(s); !errors.Is(err, network.ErrReset) {
		return fmt.Errorf("expected a reset, got %v", err)
	}
	return nil
}

func pattern(count int) []byte {
	bytes := make([]byte, count)
	for i := range bytes {
		bytes[i] = byte(i * 7)
	}
	return bytes
}
