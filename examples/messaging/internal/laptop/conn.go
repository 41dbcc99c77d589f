// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/Azure/go-amqp"
)

// window is how many messages each side may send before it needs more credit, far more than the
// examples send.
const window = 1000

// conn is a client's connection to a namespace.
type conn struct {
	net.Conn
	namespace *Namespace
	host      string // requested by the client
	links     map[linkKey]*link
	granted   map[string]bool // the audiences for which the client has put a token
}

// linkKey identifies a link. The two sides use the same channels and handles.
type linkKey struct {
	channel uint16
	handle  uint32
}

// link is one direction between the client and an entity.
type link struct {
	entity   string
	receives bool // true if the client receives
	sent     uint32
}

// serve handles one client's connection until the client closes it.
func (c *conn) serve() error {
	if err := c.exchange(saslHeader); err != nil {
		return err
	}
	if err := c.write(&frame{sasl: true, code: saslMechanismsCode, fields: []value{anonymous}}); err != nil {
		return err
	}
	if f, err := readFrame(c); err != nil || f.code != saslInitCode || f.field(0).String() != "ANONYMOUS" {
		return errors.Join(errFrame, err)
	}
	if err := c.write(&frame{sasl: true, code: saslOutcomeCode, fields: []value{first}}); err != nil {
		return err
	}
	if err := c.exchange(amqpHeader); err != nil {
		return err
	}
	for {
		f, err := readFrame(c)
		if err != nil {
			return err
		}
		if err := c.handle(f); err != nil {
			return err
		}
	}
}

// exchange reads the client's header of a protocol and responds with the same.
func (c *conn) exchange(want [8]byte) error {
	var header [8]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return err
	}
	if header != want {
		return fmt.Errorf("protocol %q, not %q", header, want)
	}
	_, err := c.Write(want[:])
	return err
}

func (c *conn) write(f *frame) error { return f.writeTo(c) }

// reply writes a performative on the channel of f.
func (c *conn) reply(f *frame, code byte, fields ...value) error {
	return c.write(&frame{channel: f.channel, code: code, fields: fields})
}

// handle responds to one frame.
func (c *conn) handle(f *frame) error {
	key := linkKey{f.channel, f.field(0).uint()}
	switch f.code {
	case openCode:
		c.host = f.field(1).String()
		return c.reply(f, openCode, text("laptop"))
	case beginCode:
		remote := value{0x60, byte(f.channel >> 8), byte(f.channel)}
		return c.reply(f, beginCode, remote, number(0), number(window), number(window))
	case attachCode:
		return c.attach(f)
	case transferCode:
		return c.transfer(f, c.links[key])
	case detachCode:
		if c.links[key] == nil {
			return nil // the response to a rejection
		}
		delete(c.links, key)
		return c.reply(f, detachCode, number(key.handle), yes)
	case endCode:
		return c.reply(f, endCode)
	case closeCode:
		return errors.Join(c.reply(f, closeCode), io.EOF)
	case flowCode, dispositionCode:
		return nil
	default:
		return errFrame
	}
}

// attach opens a link to $cbs, or to an entity for which the client has put a token.
func (c *conn) attach(f *frame) error {
	name, handle, receives := f.field(0), f.field(1), f.field(2).bool()
	source, target := f.field(5), f.field(6)
	terminus := target
	if receives {
		terminus = source
	}
	_, fields, err := terminus.described()
	if err != nil || len(fields) == 0 {
		return errFrame
	}
	l := &link{entity: fields[0].String(), receives: receives}
	role := no
	if !receives {
		role = yes // the namespace receives
	}
	if l.entity != "$cbs" && !c.granted[c.audience(l.entity)] {
		refusal := list(errorCode, symbol("amqp:unauthorized-access"), text("no token was put for "+c.audience(l.entity)))
		return errors.Join(
			c.reply(f, attachCode, name, handle, role, f.field(3), f.field(4)),
			c.reply(f, detachCode, handle, yes, refusal))
	}
	c.links[linkKey{f.channel, handle.uint()}] = l
	err = c.reply(f, attachCode, name, handle, role, f.field(3), f.field(4), source, target, null, no, number(0), long(1<<20))
	if err != nil || receives {
		return err
	}
	return c.reply(f, flowCode, number(0), number(window), number(0), number(window), handle, number(0), number(window))
}

// audience returns the audience for which a client must put a token to use an entity.
func (c *conn) audience(entity string) string { return "amqps://" + c.host + "/" + entity }

// transfer accepts a message from the client.
func (c *conn) transfer(f *frame, l *link) error {
	if l == nil || l.receives || f.field(5).bool() { // field 5: more frames of this message follow
		return errFrame
	}
	m := new(amqp.Message)
	if err := m.UnmarshalBinary(f.payload); err != nil {
		return err
	}
	id := f.field(1)
	if err := c.reply(f, dispositionCode, yes, id, id, yes, list(acceptedCode)); err != nil {
		return err
	}
	if l.entity == "$cbs" {
		return c.answer(f, m)
	}
	c.namespace.mu.Lock()
	defer c.namespace.mu.Unlock()
	c.namespace.messages = append(c.namespace.messages, m)
	return nil
}

// answer sends the result of a put-token request to the session's receiver.
func (c *conn) answer(f *frame, request *amqp.Message) error {
	status, description := int32(202), "Accepted"
	if err := c.namespace.putToken(request); err != nil {
		status, description = 401, err.Error()
	} else if audience, ok := request.ApplicationProperties["name"].(string); ok {
		c.granted[audience] = true
	}
	if request.Properties == nil {
		return errFrame
	}
	response := &amqp.Message{
		Properties:            &amqp.MessageProperties{CorrelationID: request.Properties.MessageID},
		ApplicationProperties: map[string]any{"status-code": status, "status-description": description},
		Value:                 amqp.Null{},
	}
	payload, err := response.MarshalBinary()
	if err != nil {
		return err
	}
	for key, l := range c.links {
		if key.channel == f.channel && l.receives && l.entity == "$cbs" {
			id := number(l.sent)
			l.sent++
			return c.write(&frame{
				channel: f.channel, code: transferCode, payload: payload,
				fields: []value{number(key.handle), id, {0xa0, 1, byte(l.sent)}, number(0), yes},
			})
		}
	}
	return errFrame
}
