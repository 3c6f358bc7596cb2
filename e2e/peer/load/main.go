// rmqload is a load generator for any endpoint that speaks the RocketMQ 5 gRPC protocol (apache.rocketmq.v2).
// It uses the generated stubs of the official client module, not the SDK, so that the client costs little; for sends
// there is also a "raw" HTTP/2 engine which costs a few microseconds a call.
//
// Every mode prints one JSON line on stdout; progress and errors go to stderr.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

type options struct {
	endpoint    string
	topic       string
	group       string
	namespace   string
	conc        int
	conns       int
	size        int
	batch       int
	rate        int
	warmup      time.Duration
	duration    time.Duration
	maxMsgs     int64
	prefill     int64
	ackBatch    int
	recvBatch   int
	invisible   time.Duration
	longPoll    time.Duration
	pids        string
	label       string
	engine      string
	msgType     string
	t0          int64
	timeout     time.Duration
	topicCount  int
	topicPrefix string
	remoting    string
	queues      int
	attrs       string
	listen      string
	dir         string
	ak          string
	sk          string
	createConc  int
	noHist      bool
}

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	mode := os.Args[1]
	var o options
	fs := flag.NewFlagSet(mode, flag.ExitOnError)
	fs.StringVar(&o.endpoint, "endpoint", "127.0.0.1:8081", "gRPC endpoint host:port (loopback)")
	fs.StringVar(&o.topic, "topic", "bench-normal", "topic")
	fs.StringVar(&o.group, "group", "bench-group", "consumer group")
	fs.StringVar(&o.namespace, "namespace", "", "resource namespace")
	fs.IntVar(&o.conc, "c", 32, "calls in flight")
	fs.IntVar(&o.conns, "conns", 0, "HTTP/2 connections (0: min(4, c))")
	fs.IntVar(&o.size, "size", 1024, "body bytes")
	fs.IntVar(&o.batch, "batch", 1, "messages per SendMessage request")
	fs.IntVar(&o.rate, "rate", 1000, "e2e: messages per second (open loop)")
	fs.DurationVar(&o.warmup, "warmup", 5*time.Second, "warm-up, not measured")
	fs.DurationVar(&o.duration, "duration", 15*time.Second, "measured time")
	fs.Int64Var(&o.maxMsgs, "max-msgs", 0, "send: stop after this many measured messages (0: by time only)")
	fs.Int64Var(&o.prefill, "prefill", 200000, "receive: messages sent before the measured part (0: consume what is there)")
	fs.IntVar(&o.ackBatch, "ack-batch", 1, "receipt handles per AckMessage (the SDKs ack one by one)")
	fs.IntVar(&o.recvBatch, "recv-batch", 32, "batch_size of ReceiveMessage")
	fs.DurationVar(&o.invisible, "invisible", 60*time.Second, "invisible duration")
	fs.DurationVar(&o.longPoll, "long-poll", 5*time.Second, "long polling timeout")
	fs.StringVar(&o.pids, "pids", "", "comma-separated server pids whose CPU and memory are accounted")
	fs.StringVar(&o.label, "label", "", "copied into the JSON line")
	fs.StringVar(&o.engine, "engine", "raw", "send: raw (own HTTP/2 framing) | grpc (grpc-go)")
	fs.StringVar(&o.msgType, "type", "NORMAL", "send: NORMAL | FIFO | DELAY")
	fs.Int64Var(&o.t0, "t0", 0, "firstsend: Unix nanoseconds to count from (0: now)")
	fs.DurationVar(&o.timeout, "timeout", 90*time.Second, "firstsend: give up after")
	fs.IntVar(&o.topicCount, "topics", 1000, "topics: how many")
	fs.StringVar(&o.topicPrefix, "topic-prefix", "many-", "topics: name prefix")
	fs.StringVar(&o.remoting, "remoting", "", "topics: host:port of the broker's remoting port; empty: topics must exist or be auto-created")
	fs.IntVar(&o.queues, "queues", 8, "topics: queues per topic")
	fs.StringVar(&o.attrs, "attrs", "+message.type=NORMAL", "topics: attributes")
	fs.IntVar(&o.createConc, "create-conc", 8, "topics: creation requests in flight")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:18081", "nullserver: address")
	fs.StringVar(&o.dir, "dir", ".", "disk: directory to write in")
	fs.StringVar(&o.ak, "ak", "", "access key (unused without -sk)")
	fs.StringVar(&o.sk, "sk", "", "secret key: calls are signed as the SDKs do")
	_ = fs.Parse(os.Args[2:])
	if o.conns <= 0 {
		o.conns = min(4, o.conc)
	}
	if o.conns > o.conc {
		o.conns = o.conc
	}
	mustLoopback(o.endpoint)
	if o.remoting != "" {
		mustLoopback(o.remoting)
	}
	var out map[string]any
	var err error
	switch mode {
	case "send":
		out, err = runSend(&o)
	case "receive":
		out, err = runReceive(&o)
	case "e2e":
		out, err = runE2E(&o)
	case "topics":
		out, err = runTopics(&o)
	case "firstsend":
		out, err = runFirstSend(&o)
	case "nullserver":
		err = runNullServer(&o)
	case "disk":
		out, err = runDisk(&o)
	default:
		usage()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "rmqload %s: %v\n", mode, err)
		os.Exit(1)
	}
	if out != nil {
		out["mode"] = mode
		if o.label != "" {
			out["label"] = o.label
		}
		b, _ := json.Marshal(out)
		fmt.Println(string(b))
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: rmqload send|receive|e2e|topics|firstsend|nullserver|disk [flags]   (-h after the mode lists them)")
	os.Exit(2)
}

// The generator never talks to another machine.
func mustLoopback(hp string) {
	h := hp
	if i := strings.LastIndexByte(hp, ':'); i >= 0 {
		h = hp[:i]
	}
	h = strings.Trim(h, "[]")
	if h == "localhost" || h == "::1" || strings.HasPrefix(h, "127.") {
		return
	}
	fmt.Fprintf(os.Stderr, "refusing to load %q: loopback addresses only\n", hp)
	os.Exit(2)
}

func parsePids(s string) []int {
	var r []int
	for _, f := range strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' }) {
		if n, err := strconv.Atoi(f); err == nil {
			r = append(r, n)
		}
	}
	return r
}
