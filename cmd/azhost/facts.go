// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
	"github.com/azhost/azhost/internal/keyfile"
)

// facts are what azhost knows about the machine without asking its host.
type facts struct {
	goos         string
	env          detect.Environment
	root         bool   // the user is root
	azureVM      bool   // according to the firmware
	proxyAgent   string // path of the Metadata Security Protocol's agent, "" if it is not on disk
	keyDirectory string // the Arc agent's own
	proxy        func(*http.Request) (*url.URL, error)
	readable     func(dir string) error // see [readable]
	agent        func(context.Context) (agentStatus, error)
}

func readFacts() facts {
	env := detect.Read()
	return facts{
		goos: runtime.GOOS, env: env, root: os.Geteuid() == 0, azureVM: chassis.IsAzureVM(), proxyAgent: detect.ProxyAgent(),
		keyDirectory: keyfile.Directory(env.ProgramData), proxy: http.ProxyFromEnvironment, readable: readable,
		agent: func(ctx context.Context) (agentStatus, error) { return askAgent(ctx, azcmagentPath(env.Himds)) },
	}
}

// readable checks that this user may read key files in a directory. If not, the error matches
// [fs.ErrNotExist] or [fs.ErrPermission].
func readable(dir string) error {
	d, err := os.Open(dir)
	if err == nil {
		defer d.Close()
		if _, err = d.Readdirnames(1); err == nil || errors.Is(err, io.EOF) {
			return nil
		}
	}
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	key := filepath.Join(dir, "azhost.key")
	if _, err := os.Stat(key); runtime.GOOS != "windows" && errors.Is(err, fs.ErrNotExist) {
		return nil // keys are opened by name, so listing them doesn't have to be allowed
	}
	return refusal(keyfile.Refusal(key))
}

// refusal is an [fs.ErrPermission] that says what denies access, and to whom.
type refusal string

func (r refusal) Error() string        { return string(r) }
func (r refusal) Is(target error) bool { return target == fs.ErrPermission }

// place returns an endpoint's URL without the parts that may be secret.
func place(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "something that isn't a URL"
	}
	return printable(u.Scheme + "://" + u.Host + u.EscapedPath())
}
