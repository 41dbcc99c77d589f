// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s as one line of printable characters and, separately, the trailer of Microsoft Entra ID,
// "Trace ID: … Correlation ID: … Timestamp: …", which differs each time. Each has at most limit bytes, and a
// "…" at its end if it was cut. HTML tags are kept.
func Text(s string, limit int) (text, trailer string) {
	text = Cut(s, limit+4096) // bounds the search; a trailer is shorter than what is added
	trailer = Cut(strings.Join(entra.FindAllString(text, -1), " "), limit)
	text = strings.ReplaceAll(entra.ReplaceAllString(text, " "), " )", ")")
	return Cut(text, limit), trailer
}

// entra matches what Microsoft Entra ID adds to its texts, in one line. Intermediaries put it in
// parentheses, or pass its line breaks on as `\r\n`. It doesn't match other GUIDs, which may name an
// identity.
var entra = func() *regexp.Regexp {
	const (
		guid = `[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}` // which the next name may follow without a space
		id   = `(?:x-ms-)?(?:client-|correlation-)?(?:trace|correlation|request|activity)[ _-]?id[:=] ?(?:` + guid + `|[\w-]+)`
		at   = `timestamp: ?\d[\d/:.tz+-]*(?: \d+:[\d:.]+z?)?`
		all  = `(?:(?:` + id + `|` + at + `)(?:[ ,;.]|\\[rn])*)+`
	)
	return regexp.MustCompile(`(?i)(?:[ ,;]|\\[rn])*(?:\(` + all + `\)|` + all + `)`)
}()

// Line returns the printable characters of s in one line.
func Line(s string) string { return Cut(s, len(s)*utf8.UTFMax) } // an invalid byte becomes U+FFFD

// Cut returns the printable characters of s in one line of at most limit bytes, and a "…" if it was cut.
func Cut(s string, limit int) string {
	var b strings.Builder
	b.Grow(min(len(s), limit))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r): // line breaks would forge lines in a log
			space = b.Len() > 0
			continue
		case !unicode.IsPrint(r): // control characters, and those that reorder or hide text
			continue
		}
		n := utf8.RuneLen(r)
		if space {
			n++
		}
		if b.Len()+n > limit {
			b.WriteString("…")
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
