// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"encoding/binary"
	"errors"
	"io"
)

// Codes of the AMQP 1.0 types that the namespace reads and writes.
const (
	openCode           = 0x10
	beginCode          = 0x11
	attachCode         = 0x12
	flowCode           = 0x13
	transferCode       = 0x14
	dispositionCode    = 0x15
	detachCode         = 0x16
	endCode            = 0x17
	closeCode          = 0x18
	errorCode          = 0x1d
	acceptedCode       = 0x24
	saslMechanismsCode = 0x40
	saslInitCode       = 0x41
	saslOutcomeCode    = 0x44
)

var (
	saslHeader = [8]byte{'A', 'M', 'Q', 'P', 3, 1, 0, 0}
	amqpHeader = [8]byte{'A', 'M', 'Q', 'P', 0, 1, 0, 0}
)

var errFrame = errors.New("malformed AMQP frame")

// frame is an AMQP frame: a performative, its fields and a payload.
type frame struct {
	sasl    bool
	channel uint16
	code    byte
	fields  []value // fields at the end may be missing
	payload []byte
}

// field returns field i, or null if the frame omits it.
func (f *frame) field(i int) value {
	if i < len(f.fields) {
		return f.fields[i]
	}
	return null
}

// readFrame returns the next frame with a performative; it skips empty frames, which keep the
// connection alive.
func readFrame(r io.Reader) (*frame, error) {
	for {
		var header [8]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return nil, err
		}
		size, skip := binary.BigEndian.Uint32(header[:]), 4*int(header[4])-len(header)
		if size < uint32(len(header)) || size > 1<<20 {
			return nil, errFrame
		}
		body := make([]byte, size-uint32(len(header)))
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, err
		}
		if skip < 0 || skip > len(body) {
			return nil, errFrame
		}
		if body = body[skip:]; len(body) == 0 {
			continue
		}
		performative, payload, err := next(body)
		if err != nil {
			return nil, err
		}
		code, fields, err := performative.described()
		if err != nil {
			return nil, err
		}
		return &frame{header[5] == 1, binary.BigEndian.Uint16(header[6:]), code, fields, payload}, nil
	}
}

// writeTo writes the frame.
func (f *frame) writeTo(w io.Writer) error {
	header := []byte{0, 0, 0, 0, 2, 0, 0, 0}
	if f.sasl {
		header[5] = 1
	}
	binary.BigEndian.PutUint16(header[6:], f.channel)
	b := append(append(header, list(f.code, f.fields...)...), f.payload...)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	_, err := w.Write(b)
	return err
}

// value is an encoded AMQP value with its type.
type value []byte

var (
	null      = value{0x40}
	yes       = value{0x41}
	no        = value{0x42}
	first     = value{0x50, 0} // the settlement mode, and SASL's outcome "ok"
	anonymous = symbol("ANONYMOUS")
)

func number(n uint32) value { return binary.BigEndian.AppendUint32(value{0x70}, n) }
func long(n uint64) value   { return binary.BigEndian.AppendUint64(value{0x80}, n) }
func symbol(s string) value { return append(value{0xa3, byte(len(s))}, s...) }
func text(s string) value {
	return append(binary.BigEndian.AppendUint32(value{0xb1}, uint32(len(s))), s...)
}

// list returns a described list, the shape of performatives, errors and outcomes.
func list(code byte, fields ...value) value {
	var all []byte
	for _, f := range fields {
		all = append(all, f...)
	}
	b := value{0, 0x53, code, 0xd0}
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(all)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(fields)))
	return append(b, all...)
}

// next splits the first value off b.
func next(b []byte) (v value, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, errFrame
	}
	if b[0] == 0 { // a descriptor and a value
		_, rest, err := next(b[1:])
		if err == nil {
			_, rest, err = next(rest)
		}
		return b[:len(b)-len(rest)], rest, err
	}
	// The high half of a type's code says how long its values are.
	size := 1
	switch b[0] >> 4 {
	case 0x4:
	case 0x5, 0x6, 0x7, 0x8, 0x9:
		size += 1 << (b[0]>>4 - 5)
	case 0xa, 0xc, 0xe:
		if len(b) < 2 {
			return nil, nil, errFrame
		}
		size += 1 + int(b[1])
	case 0xb, 0xd, 0xf:
		if len(b) < 5 {
			return nil, nil, errFrame
		}
		size += 4 + int(binary.BigEndian.Uint32(b[1:]))
	default:
		return nil, nil, errFrame
	}
	if size < 1 || size > len(b) { // it may overflow where int has 32 bits
		return nil, nil, errFrame
	}
	return b[:size], b[size:], nil
}

// described returns the code and the fields of a described list.
func (v value) described() (code byte, fields []value, err error) {
	if len(v) < 4 || v[0] != 0 || v[1] != 0x53 {
		return 0, nil, errFrame
	}
	var b []byte
	switch body := v[3:]; {
	case body[0] == 0x45: // empty
	case body[0] == 0xc0 && len(body) >= 3:
		b = body[3:]
	case body[0] == 0xd0 && len(body) >= 9:
		b = body[9:]
	default:
		return 0, nil, errFrame
	}
	for len(b) > 0 {
		var f value
		if f, b, err = next(b); err != nil {
			return 0, nil, err
		}
		fields = append(fields, f)
	}
	return v[2], fields, nil
}

// String returns a string or a symbol, or "" for other types.
func (v value) String() string {
	switch {
	case v[0] == 0xa1 || v[0] == 0xa3:
		return string(v[2:])
	case v[0] == 0xb1 || v[0] == 0xb3:
		return string(v[5:])
	}
	return ""
}

// uint returns an unsigned 32-bit number, or 0 for other types.
func (v value) uint() uint32 {
	switch v[0] {
	case 0x52:
		return uint32(v[1])
	case 0x70:
		return binary.BigEndian.Uint32(v[1:])
	}
	return 0
}

// bool reports whether v is true.
func (v value) bool() bool { return v[0] == 0x41 || v[0] == 0x56 && v[1] == 1 }
