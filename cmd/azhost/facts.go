// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
	"github.com/azhost/azhost/internal/keyfile"
)

// facts are what azhost knows about the machine without asking its host.
type facts struct {
	goos           string
	env            detect.Environment
	containerGroup bool   // Azure Container Instances
	azureVM        bool   // by the firmware
	proxyAgent     string // path of the Metadata Security Protocol's agent, "" if it is not on disk
	keyDirectory   string // the Arc agent's own
	proxy          func(*http.Request) (*url.URL, error)
	readable       func(dir string) error // see [readable]
	agent          func(context.Context) (agentStatus, error)
}

func readFacts() facts {
	env := detect.Read()
	return facts{
		goos: runtime.GOOS, env: env, containerGroup: containerGroup(env, os.Getenv),
		azureVM: chassis.IsAzureVM(), proxyAgent: installed(proxyAgentPath(runtime.GOOS, os.Getenv)),
		keyDirectory: keyfile.Directory(env.ProgramData), proxy: http.ProxyFromEnvironment, readable: readable,
		agent: func(ctx context.Context) (agentStatus, error) { return askAgent(ctx, azcmagentPath(env.Himds)) },
	}
}

// containerGroup reports whether the variables are those of Azure Container Instances, where IMDS's
// address has the tokens.
func containerGroup(env detect.Environment, getenv func(string) string) bool {
	return env.IdentityEndpoint == "" && env.IdentityHeader != "" && env.Thumbprint != "" &&
		getenv("IDENTITY_API_VERSION") == "2020-05-01"
}

// proxyAgentPath returns where an Azure VM has the agent of the Metadata Security Protocol, which
// decides which programs may use IMDS.
func proxyAgentPath(goos string, getenv func(string) string) string {
	switch goos {
	case "linux":
		return "/usr/sbin/azure-proxy-agent"
	case "windows":
		return filepath.Join(getenv("SystemDrive")+`\`, "WindowsAzure", "ProxyAgent", "GuestProxyAgent", "GuestProxyAgent.exe")
	}
	return ""
}

// installed returns path if it is a file, and "" otherwise.
func installed(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// known reports whether there is evidence that the machine has the host. The alternative is that
// IMDS is only assumed.
func (f facts) known(r request, host azhost.Source) bool {
	return host != azhost.SourceIMDS || f.azureVM || f.containerGroup || r.source != "" && r.endpoint == ""
}

// place is an endpoint's URL without the parts that may be secret.
func place(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "something that isn't a URL"
	}
	return printable(u.Scheme + "://" + u.Host + u.EscapedPath())
}
