// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// server implements as much of MS-TDS 8.0 over TLS as go-mssqldb needs to sign in with a token. It responds
// to each query with one row: the name of the token's owner.
type server struct {
	address string
	check   func(token string) (name string, ok bool)
	cancels chan context.CancelFunc // the server calls each instead of responding to a query

	mu     sync.Mutex // guards tokens
	tokens []string
}

// Types of messages.
const (
	queryMessage    = 0x01
	replyMessage    = 0x04
	cancelMessage   = 0x06
	loginMessage    = 0x10
	preloginMessage = 0x12
)

func newServer(t *testing.T, certificate tls.Certificate, check func(string) (string, bool)) *server {
	socket, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	require.NoError(t, err)
	s := &server{address: socket.Addr().String(), check: check, cancels: make(chan context.CancelFunc, 1)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := socket.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				_ = s.serve(c)
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = socket.Close() })
	return s
}

// signedIn returns the tokens that clients have signed in with, accepted or not.
func (s *server) signedIn() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens)
}

// serve handles a client's connection.
func (s *server) serve(c net.Conn) error {
	name := ""
	for {
		kind, body, err := read(c)
		if err != nil {
			return err
		}
		var reply []byte
		switch {
		case kind == preloginMessage:
			// version, encryption on, FEDAUTH spoken: each with offset and length, then the values
			reply = []byte{0, 0, 16, 0, 6, 1, 0, 22, 0, 1, 6, 0, 23, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 1, 1}
		case kind == loginMessage:
			token, err := tokenOf(body)
			if err != nil {
				return err
			}
			s.mu.Lock()
			s.tokens = append(s.tokens, token)
			s.mu.Unlock()
			var ok bool
			if name, ok = s.check(token); !ok {
				return write(c, slices.Concat(refusal("Login failed for user '<token-identified principal>'."), done(2, 0)))
			}
			reply = slices.Concat(welcome(), done(0, 0))
		case kind == queryMessage && name != "":
			select {
			case cancel := <-s.cancels:
				cancel()
				continue
			default:
				reply = slices.Concat(row(name), done(0x10, 1))
			}
		case kind == cancelMessage: // the query's context is done
			reply = done(0x20, 0)
		default:
			return errors.New("unexpected message")
		}
		if err := write(c, reply); err != nil {
			return err
		}
	}
}

// read returns a message, which may come in several packets.
func read(c net.Conn) (kind byte, body []byte, err error) {
	for len(body) < 1<<16 {
		var header [8]byte
		if _, err := io.ReadFull(c, header[:]); err != nil {
			return 0, nil, err
		}
		packet := make([]byte, max(0, int(binary.BigEndian.Uint16(header[2:]))-len(header)))
		if _, err := io.ReadFull(c, packet); err != nil {
			return 0, nil, err
		}
		if body = append(body, packet...); header[1]&1 != 0 { // end of message
			return header[0], body, nil
		}
	}
	return 0, nil, errors.New("message too long")
}

func write(c net.Conn, body []byte) error {
	header := []byte{replyMessage, 1, 0, 0, 0, 0, 1, 0}
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)+len(body)))
	_, err := c.Write(append(header, body...))
	return err
}

// tokenOf returns the token in the FEDAUTH feature extension of a LOGIN7 message.
func tokenOf(login []byte) (string, error) {
	bad := errors.New("no login with a security token")
	if len(login) < 94 || login[27]&0x10 == 0 { // fExtension
		return "", bad
	}
	at := int(binary.LittleEndian.Uint16(login[56:])) // ibExtension
	if at+4 > len(login) {
		return "", bad
	}
	features := login[min(int(binary.LittleEndian.Uint32(login[at:])), len(login)):]
	for len(features) >= 5 && features[0] != 0xff {
		size := int(binary.LittleEndian.Uint32(features[1:]))
		if size > len(features)-5 {
			return "", bad
		}
		id, data := features[0], features[5:5+size]
		features = features[5+size:]
		if id != 2 || len(data) < 5 || data[0]>>1 != 1 { // FEDAUTH, security token
			continue
		}
		if int(binary.LittleEndian.Uint32(data[1:])) != len(data)-5 {
			return "", bad
		}
		units := make([]uint16, (len(data)-5)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(data[5+2*i:])
		}
		return string(utf16.Decode(units)), nil
	}
	return "", bad
}

// welcome acknowledges the login (TDS 7.4) and the FEDAUTH feature.
func welcome() []byte {
	ack := slices.Concat([]byte{1, 0x74, 0, 0, 4, 4}, ucs2("fake"), []byte{16, 0, 0, 0})
	return slices.Concat([]byte{0xad}, u16(len(ack)), ack, []byte{0xae, 2, 0, 0, 0, 0, 0xff})
}

func refusal(text string) []byte {
	e := slices.Concat([]byte{0x18, 0x48, 0, 0, 1, 14}, u16(len(text)), ucs2(text), []byte{0, 0, 1, 0, 0, 0}) // 18456
	return slices.Concat([]byte{0xaa}, u16(len(e)), e)
}

// row is a result of one row with one column, an nvarchar(128).
func row(value string) []byte {
	column := []byte{0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 1, 9, 4, 0xd0, 0, 0x34, 0}
	return slices.Concat(column, []byte{0xd1}, u16(2*len(value)), ucs2(value))
}

func done(status byte, rows byte) []byte {
	return []byte{0xfd, status, 0, 0, 0, rows, 0, 0, 0, 0, 0, 0, 0}
}

func u16(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }

// ucs2 encodes ASCII.
func ucs2(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r), 0)
	}
	return b
}
