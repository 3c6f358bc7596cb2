package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

// options is the command line that the programs of all four SDKs share; see ../README.md.
type options struct {
	endpoint, topic, group, mode, scenario, run, expression string
	count, rate, largest, attempts, expect                  int
	groups, priorities, producers, consumers                int
	timeout, seconds, drain, work, pace                     time.Duration
	tls                                                     bool
}

func parse() options {
	var o options
	var timeout, seconds, drain, work, pace float64
	flag.StringVar(&o.endpoint, "endpoint", "127.0.0.1:8081", "host:port of the gRPC endpoint")
	flag.StringVar(&o.topic, "topic", "", "topic")
	flag.StringVar(&o.group, "group", "", "consumer group")
	flag.StringVar(&o.mode, "mode", "simple", "simple or push")
	flag.StringVar(&o.scenario, "scenario", "roundtrip", "what to do")
	flag.StringVar(&o.run, "run", "", "mark of this run's messages; empty: a new one")
	flag.IntVar(&o.count, "count", 8, "messages")
	flag.IntVar(&o.rate, "rate", 100, "messages a second (stream)")
	flag.IntVar(&o.attempts, "attempts", 2, "deliveries until a message is a dead letter (dlq)")
	flag.IntVar(&o.largest, "largest", 4<<20, "bytes of the largest body")
	flag.IntVar(&o.groups, "groups", 0, "message groups; 0: messages have none")
	flag.IntVar(&o.priorities, "priorities", 0, "priorities from 1 on; 0: messages have none")
	flag.IntVar(&o.producers, "producers", 1, "producers, each with message groups of its own (fifo)")
	flag.IntVar(&o.consumers, "consumers", 1, "consumers that share the group")
	flag.StringVar(&o.expression, "expression", "", "SQL filter (sqlfilter)")
	flag.IntVar(&o.expect, "expect", 0, "messages that the filter lets through (sqlfilter)")
	flag.Float64Var(&timeout, "timeout", 60, "seconds until the scenario has failed")
	flag.Float64Var(&seconds, "seconds", 20, "seconds of sending (stream)")
	flag.Float64Var(&drain, "drain", 60, "seconds to wait for what was acknowledged (stream)")
	flag.Float64Var(&work, "work", 0, "milliseconds that a consumer works on each message")
	flag.Float64Var(&pace, "pace", 0, "milliseconds between sends, which then go on until SIGTERM")
	flag.BoolVar(&o.tls, "tls", false, "connect with TLS")
	flag.Parse()
	o.timeout = time.Duration(timeout * float64(time.Second))
	o.work = time.Duration(work * float64(time.Millisecond))
	o.pace = time.Duration(pace * float64(time.Millisecond))
	o.seconds = time.Duration(seconds * float64(time.Second))
	o.drain = time.Duration(drain * float64(time.Second))
	if o.topic == "" || o.group == "" {
		fmt.Fprintln(os.Stderr, "--topic and --group are required")
		os.Exit(2)
	}
	if o.run == "" {
		o.run = fmt.Sprintf("go-%d-%d", os.Getpid(), time.Now().UnixNano())
	}
	return o
}
