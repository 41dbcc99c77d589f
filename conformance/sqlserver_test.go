// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// sqlServer is a fake Azure SQL (MS-TDS, without TLS). It sends its audience to a client that signs in with
// Microsoft Entra, checks the client's token, and responds to every query with the name of the token's
// owner.
type sqlServer struct {
	address  string
	audience string // of tokens; different for each server
	check    func(token string) (name string, err error)
	signIns  atomic.Int64 // with a valid token
}

// Types of messages.
const (
	queryMessage    = 0x01
	replyMessage    = 0x04
	cancelMessage   = 0x06
	tokenMessage    = 0x08
	loginMessage    = 0x10
	preloginMessage = 0x12
)

// newSQLServer starts a server that ends with the test.
func newSQLServer(t *testing.T, audience string, check func(token string) (string, error)) *sqlServer {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &sqlServer{address: socket.Addr().String(), audience: audience, check: check}
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

// dsn returns the server's URL. More parameters may follow.
func (s *sqlServer) dsn() string {
	return "sqlserver://" + s.address + "?encrypt=disable&dial+timeout=10&connection+timeout=30"
}

// serve handles a client's connection.
func (s *sqlServer) serve(c net.Conn) error {
	name := ""
	for {
		kind, body, err := readMessage(c)
		if err != nil {
			return err
		}
		var reply []byte
		switch {
		case kind == preloginMessage:
			// Version, no encryption, federated authentication: each with offset and length, then the values.
			reply = []byte{0, 0, 16, 0, 6, 1, 0, 22, 0, 1, 6, 0, 23, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 2, 1}
		case kind == loginMessage:
			reply = authInfo("https://login.microsoftonline.com/a1b2c3d4-0000-4000-8000-000000000000", s.audience)
		case kind == tokenMessage:
			token, err := tokenIn(body)
			if err != nil {
				return err
			}
			if name, err = s.check(token); err != nil {
				return writeMessage(c, slices.Concat(refused("Login failed: "+err.Error()), done(2, 0)))
			}
			s.signIns.Add(1)
			reply = slices.Concat(welcome(), done(0, 0))
		case kind == queryMessage && name != "":
			reply = slices.Concat(oneRow(name), done(0x10, 1))
		case kind == cancelMessage: // of a query whose result the client hasn't read completely
			reply = done(0x20, 0)
		default:
			return fmt.Errorf("message of type %#x is not expected here", kind)
		}
		if err := writeMessage(c, reply); err != nil {
			return err
		}
	}
}

// readMessage returns a message, which may come in several packets.
func readMessage(c net.Conn) (kind byte, body []byte, err error) {
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

func writeMessage(c net.Conn, body []byte) error {
	header := []byte{replyMessage, 1, 0, 0, 0, 0, 1, 0}
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)+len(body)))
	_, err := c.Write(append(header, body...))
	return err
}

// tokenIn returns the token in a FEDAUTH message: two lengths, then UTF-16.
func tokenIn(body []byte) (string, error) {
	if len(body) < 8 || int(binary.LittleEndian.Uint32(body)) != len(body)-4 || int(binary.LittleEndian.Uint32(body[4:])) != len(body)-8 {
		return "", errors.New("no token in the message")
	}
	units := make([]uint16, (len(body)-8)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(body[8+2*i:])
	}
	return string(utf16.Decode(units)), nil
}

// authInfo tells the client where to get a token (1) and for what (2): each with length and offset,
// then the values.
func authInfo(issuer, audience string) []byte {
	first, second := ucs2(issuer), ucs2(audience)
	const head = 4 + 2*9
	info := slices.Concat(u32(2),
		[]byte{1}, u32(len(first)), u32(head),
		[]byte{2}, u32(len(second)), u32(head+len(first)),
		first, second)
	return slices.Concat([]byte{0xee}, u32(len(info)), info)
}

// welcome acknowledges the login (TDS 7.4) and the FEDAUTH feature.
func welcome() []byte {
	ack := slices.Concat([]byte{1, 0x74, 0, 0, 4, 4}, ucs2("fake"), []byte{16, 0, 0, 0})
	return slices.Concat([]byte{0xad}, u16(len(ack)), ack, []byte{0xae, 2, 0, 0, 0, 0, 0xff})
}

func refused(text string) []byte {
	e := slices.Concat([]byte{0x18, 0x48, 0, 0, 1, 14}, u16(len(text)), ucs2(text), []byte{0, 0, 1, 0, 0, 0}) // 18456
	return slices.Concat([]byte{0xaa}, u16(len(e)), e)
}

// oneRow is a result of one row with one column, an nvarchar(128).
func oneRow(value string) []byte {
	column := []byte{0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0xe7, 0, 1, 9, 4, 0xd0, 0, 0x34, 0}
	return slices.Concat(column, []byte{0xd1}, u16(2*len(value)), ucs2(value))
}

func done(status byte, rows byte) []byte {
	return []byte{0xfd, status, 0, 0, 0, rows, 0, 0, 0, 0, 0, 0, 0}
}

func u16(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
func u32(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }

// ucs2 encodes ASCII.
func ucs2(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r), 0)
	}
	return b
}
