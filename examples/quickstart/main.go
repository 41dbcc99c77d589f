// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command quickstart gets a token through azhost and uses it: an azcore pipeline sends it to a
// TLS service, which checks it. On an Azure VM or an Arc-enabled server it asks the real host;
// anywhere else it starts a fake Arc agent on loopback and asks that.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
)

func main() {
	where := flag.String("host", "auto", "auto: the real host where there is one, else a fake; real or fake: that one")
	resource := flag.String("resource", "https://vault.azure.net", "what the token is for")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *where, *resource); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, where, resource string) error {
	host, reason := detect.Read().Host()
	found := host != detect.IMDS
	if !found && chassis.IsAzureVM() {
		found, reason = true, "the firmware's chassis tag is that of an Azure VM"
	}
	switch where {
	case "auto":
	case "real", "fake":
		found = where == "real"
	default:
		return fmt.Errorf("-host %q is none of auto, real, fake", where)
	}

	var options *azhost.ManagedIdentityCredentialOptions
	check := claims // a real token's signature is for its service to check
	if !found {
		fmt.Fprintf(out, "No Azure host here (%s): starting a fake Arc agent on loopback.\n", reason)
		agent, err := azhosttest.ListenArc("127.0.0.1:0", "")
		if err != nil {
			return err
		}
		defer agent.Close()
		options, check, reason = agent.Options(), agent.Verify, "the fake agent at "+agent.Endpoint()
	}

	// This is all that a program of your own needs: the credential, and a client that takes it.
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		return err
	}
	service := httptest.NewTLSServer(greeter(resource, check))
	defer service.Close()
	client := runtime.NewPipeline("quickstart", "v0.1.0", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(cred, []string{resource + "/.default"}, nil)},
	}, &policy.ClientOptions{Transport: service.Client()})

	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
	if err != nil {
		return err
	}
	req, err := runtime.NewRequest(ctx, http.MethodGet, service.URL)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	answer, err := runtime.Payload(resp)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "host       %s: %s\n", cred.Source(), reason)
	fmt.Fprintf(out, "resource   %s\n", resource)
	fmt.Fprintf(out, "expires    %s, in %s\n", token.ExpiresOn.Format(time.RFC3339), time.Until(token.ExpiresOn).Round(time.Second))
	if token.RefreshOn.IsZero() {
		fmt.Fprintf(out, "refreshed  in its last minutes\n")
	} else {
		fmt.Fprintf(out, "refreshed  from %s\n", token.RefreshOn.Format(time.RFC3339))
	}
	fmt.Fprintf(out, "service    %s: %s\n", resp.Status, answer)
	if resp.StatusCode != http.StatusOK {
		return errors.New("the service refused the token")
	}
	return nil
}

// greeter is a service that wants a bearer token for the resource, and greets its identity.
func greeter(resource string, check func(token string) (map[string]any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			http.Error(w, "no bearer token", http.StatusUnauthorized)
			return
		}
		claims, err := check(token)
		if err != nil {
			http.Error(w, "the token does not hold: "+err.Error(), http.StatusUnauthorized)
			return
		}
		if aud := strings.TrimSuffix(fmt.Sprint(claims["aud"]), "/"); aud != strings.TrimSuffix(resource, "/") {
			http.Error(w, "the token is for another audience: "+aud, http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "hello, identity %v of tenant %v", claims["oid"], claims["tid"])
	})
}

// claims decodes a token without verifying it.
func claims(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("not a JWT")
	}
	var c map[string]any
	if json.Unmarshal(raw, &c) != nil {
		return nil, errors.New("not a JWT")
	}
	return c, nil
}
