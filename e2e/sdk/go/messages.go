package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// pattern is a body of the given size whose bytes the driver can compute as well.
func pattern(size int) []byte {
	b := make([]byte, size)
	for j := range b {
		b[j] = byte(j*31 + 7)
	}
	return b
}

// body of message i. The first six of `roundtrip` are the awkward ones: one byte, 1 KiB, not ASCII, the
// largest allowed, and two whose CRC32 begins with one and with two zero digits.
func body(o options, i int) []byte {
	if o.scenario == "roundtrip" || o.scenario == "send" {
		switch i {
		case 0:
			return []byte("x")
		case 1:
			return pattern(1024)
		case 2:
			return []byte("Grüße, 世界 🌍")
		case 3:
			return pattern(o.largest)
		case 4:
			return []byte("crc 31")
		case 5:
			return []byte("crc 432")
		}
	}
	return []byte(fmt.Sprintf("message %d", i))
}

// tag of message i; empty: none.
func tag(scenario string, i int) string {
	if scenario == "tagfilter" {
		return []string{"a", "b", "c", ""}[i%4]
	}
	return fmt.Sprintf("t%d", i%3)
}

// inRound is the number of message i for what a filter sees, so that it lets through the same of every round.
func inRound(o options, i int) int {
	if o.scenario == "sqlfilter" {
		return i % o.count
	}
	return i
}

func message(o options, i int) *rmq.Message {
	m := &rmq.Message{Topic: o.topic, Body: body(o, i)}
	if t := tag(o.scenario, inRound(o, i)); t != "" {
		m.SetTag(t)
	}
	m.SetKeys("k"+strconv.Itoa(i), "schlüssel")
	m.AddProperty("index", strconv.Itoa(i))
	m.AddProperty("run", o.run)
	m.AddProperty("note", "Grüße, 世界")
	if o.scenario == "sqlfilter" {
		n := inRound(o, i)
		m.AddProperty("price", strconv.Itoa(n))
		m.AddProperty("weight", fmt.Sprintf("%d.5", n))
		if n%3 < 2 {
			m.AddProperty("region", []string{"eu", "us"}[n%3])
		}
	}
	if o.scenario == "delay" {
		m.SetDelayTimestamp(due(o, i))
	}
	if o.groups > 0 {
		m.SetMessageGroup(groupOf(o, i))
	}
	if o.priorities > 0 {
		// It refuses negative ones only.
		_ = m.SetPriority(int32(1 + i%o.priorities))
	}
	return m
}

// groupOf names the message group of message i: the messages of a group are every groups-th one.
func groupOf(o options, i int) string {
	return fmt.Sprintf("g%d", i%o.groups)
}

type sent struct {
	ID          string `json:"id"`
	Index       int    `json:"index"`
	Transaction string `json:"transaction"`
	DueMs       *int64 `json:"dueMs"`
	AtMs        int64  `json:"atMs"`
	AckedMs     int64  `json:"ackedMs"`
}

// confirmed is an acknowledgement that the broker answered.
type confirmed struct {
	Index  int   `json:"index"`
	Offset int64 `json:"offset"`
	AtMs   int64 `json:"atMs"`
}

type received struct {
	ID         string            `json:"id"`
	Topic      string            `json:"topic"`
	Index      int               `json:"index"`
	Tag        *string           `json:"tag"`
	Keys       []string          `json:"keys"`
	Properties map[string]string `json:"properties"`
	Group      *string           `json:"group"`
	Offset     int64             `json:"offset"`
	Consumer   int               `json:"consumer"`
	Attempt    int32             `json:"attempt"`
	Bytes      int               `json:"bytes"`
	SHA256     string            `json:"sha256"`
	Verdict    string            `json:"verdict"`
	AtMs       int64             `json:"atMs"`
	DueMs      *int64            `json:"dueMs"`
	CameMs     int64             `json:"cameMs"`
}

func view(m *rmq.MessageView, verdict string, atMs int64) received {
	index, err := strconv.Atoi(m.GetProperties()["index"])
	if err != nil {
		index = -1
	}
	sum := sha256.Sum256(m.GetBody())
	return received{ID: m.GetMessageId(), Topic: m.GetTopic(), Index: index, Tag: m.GetTag(), Keys: m.GetKeys(),
		Properties: m.GetProperties(), Group: m.GetMessageGroup(), Offset: m.GetOffset(), Attempt: m.GetDeliveryAttempt(), Bytes: len(m.GetBody()),
		SHA256: hex.EncodeToString(sum[:]), Verdict: verdict, AtMs: atMs,
		DueMs: milliseconds(m.GetDeliveryTimestamp()), CameMs: time.Now().UnixMilli()}
}
