// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestEveryServerErrorIsRetried checks that every server error is retried, because proxies in front of a
// host use unregistered statuses, such as 520.
func TestEveryServerErrorIsRetried(t *testing.T) {
	for status := 400; status <= 600; status++ {
		inBubble(t, fmt.Sprint(status), nil, func(t *testing.T) {
			w := always(answer(status, ""))
			_, err := token(t.Context(), onVM(t, w, known))
			require.ErrorContains(t, err, fmt.Sprint(": ", status))
			require.NotContains(t, err.Error(), " :", "a status without a name")
			want := 1
			if status == 404 || status == 408 || status == 410 || status == 429 || status/100 == 5 {
				want = 6
			}
			require.Equal(t, want, w.Requests())
		})
	}
}

// TestErrorHasStatusAndText checks that whatever is wrong with a response, the error has its status and
// text, and RawResponse is this response.
func TestErrorHasStatusAndText(t *testing.T) {
	keys := t.TempDir()
	key := filepath.Join(keys, "k.key")
	require.NoError(t, os.WriteFile(key, []byte("key"), 0o600))
	const token200 = `{"access_token":"canary","expires_in":3600,"client_id":"you"}`
	cut := func(status int, body string) func(*http.Request) (*http.Response, error) {
		return func(req *http.Request) (*http.Response, error) {
			resp, err := answer(status, "", "Server: IMDS/1.0")(req)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF)))
			return resp, err
		}
	}
	for name, test := range map[string]struct {
		source azhost.Source
		first  func(*http.Request) (*http.Response, error) // in Arc's exchange
		answer func(*http.Request) (*http.Response, error)
		want   []string
		status int
	}{
		"cut short":                       {azhost.SourceIMDS, nil, cut(503, "upstream  is\ndown"), []string{"status 503", "unexpected EOF: upstream is down"}, 503},
		"JSON that is cut short":          {azhost.SourceIMDS, nil, cut(400, `{"error":"no`), []string{"status 400", `unexpected EOF: {"error":"no`}, 400},
		"a token that is cut short":       {azhost.SourceIMDS, nil, cut(200, `{"access_token":"canary`), []string{"status 200", "unexpected EOF"}, 200},
		"too large":                       {azhost.SourceIMDS, nil, answer(500, strings.Repeat("large ", 1<<18)), []string{"status 500", "larger than 1 MiB: large large"}, 500},
		"another identity":                {azhost.SourceIMDS, nil, answer(200, token200), []string{`"you", not "me"`, "200 OK"}, 200},
		"no identity on Arc":              {azhost.SourceAzureArc, nil, answer(200, `{"access_token":"canary","expires_in":3600}`), []string{"doesn't confirm", "200 OK"}, 200},
		"no token":                        {azhost.SourceIMDS, nil, answer(200, "{}", "Server: IMDS/1.0"), []string{"no access_token", "200 OK"}, 200},
		"no challenge":                    {azhost.SourceAzureArc, answer(401, "log in first"), nil, []string{"no WWW-Authenticate header", "401 Unauthorized: log in first"}, 401},
		"another challenge":               {azhost.SourceAzureArc, answer(401, "log in first", "WWW-Authenticate: Negotiate"), nil, []string{`"Negotiate"`, "401 Unauthorized: log in first"}, 401},
		"a challenge for another file":    {azhost.SourceAzureArc, answer(401, "log in first", "WWW-Authenticate: Basic realm="+filepath.Join(filepath.Dir(keys), "x.key")), nil, []string{"refusing to read", "401 Unauthorized: log in first. Only .key files"}, 401},
		"a page without a challenge":      {azhost.SourceAzureArc, answer(200, "<html>Hello"), nil, []string{"without a challenge", "200 OK: <html>Hello"}, 200},
		"a token without a challenge":     {azhost.SourceAzureArc, answer(200, token200), nil, []string{"without a challenge", "200 OK"}, 200},
		"an agent's token with a 202":     {azhost.SourceAzureArc, nil, answer(202, token200), []string{"doesn't return tokens with this status", "202 Accepted"}, 202},
		"a key that the agent rejects":    {azhost.SourceAzureArc, nil, answer(401, "no", "WWW-Authenticate: Basic realm="+key), []string{"401 Unauthorized: no"}, 401},
		"a redirect":                      {azhost.SourceIMDS, nil, answer(302, "", "Location: http://x/y"), []string{"status 302", "http://x/y"}, 302},
		"a status without a name":         {azhost.SourceIMDS, nil, answer(499, "bye", "Server: IMDS/1.0"), []string{": 499: bye"}, 499},
		"a platform's text":               {azhost.SourceCloudShell, nil, answer(418, "bye"), []string{"418 I'm a teapot: bye"}, 418},
		"a platform's text with a secret": {azhost.SourceAppService, nil, cut(500, "canary-sec"), []string{"status 500", "unexpected EOF"}, 500},
	} {
		inBubble(t, name, platforms[test.source], func(t *testing.T) {
			cred := credential(t, always(func(req *http.Request) (*http.Response, error) {
				switch {
				case test.source != azhost.SourceAzureArc || req.Header.Get("Authorization") != "":
					return test.answer(req)
				case test.first != nil:
					return test.first(req)
				}
				return answer(401, "", "WWW-Authenticate: Basic realm="+key)(req)
			}), func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Source, o.ArcKeyDirectory, o.Retry.MaxRetries = test.source, keys, -1
				if test.source != azhost.SourceCloudShell {
					o.ID = azhost.ClientID("me")
				}
			})
			_, err := token(t.Context(), cred)
			failed := requireFailed(t, err)
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "canary")
			require.NotNil(t, failed.RawResponse)
			require.Equal(t, test.status, failed.RawResponse.StatusCode)
			body, err := io.ReadAll(failed.RawResponse.Body)
			require.NoError(t, err)
			require.NotContains(t, string(body), "canary")
			require.LessOrEqual(t, len(body), 16<<10)
		})
	}
}

// TestMissingKeyError checks that a TryTimeout that ends in the pause between two exchanges doesn't hide
// why the first one failed.
func TestMissingKeyError(t *testing.T) {
	keys := t.TempDir()
	for name, test := range map[string]struct {
		second func(*http.Request) (*http.Response, error)
		want   string
	}{
		"no key":         {nil, "cannot read the Arc agent's key"},
		"a rejected key": {answer(401, "stale", "WWW-Authenticate: Basic realm="+filepath.Join(keys, "k.key")), "401 Unauthorized: stale"},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			if test.second != nil {
				require.NoError(t, os.WriteFile(filepath.Join(keys, "k.key"), []byte("key"), 0o600))
			}
			o := arcOptions(always(func(req *http.Request) (*http.Response, error) {
				if req.Header.Get("Authorization") != "" {
					return test.second(req)
				}
				return answer(401, "", "WWW-Authenticate: Basic realm="+filepath.Join(keys, "k.key"))(req)
			}), keys)
			if test.second == nil {
				require.NoError(t, os.RemoveAll(filepath.Join(keys, "k.key")))
			}
			o.Retry.TryTimeout, o.Retry.MaxRetries = 100*time.Millisecond, -1
			cred, err := azhost.NewManagedIdentityCredential(o)
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			require.ErrorContains(t, requireFailed(t, err), test.want)
		})
	}
}
