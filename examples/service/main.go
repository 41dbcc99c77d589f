// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command service signs messages over HTTP with a key from Azure Key Vault. It shows what a service
// needs around its credential: warm-up, readiness, metrics, logs, and a graceful shutdown.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhostotel"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// service signs messages with the secret "signing-key" of a vault.
type service struct {
	*http.ServeMux
	resource string // the resource of the vault's tokens
	cred     *azhost.ManagedIdentityCredential
	secrets  *azsecrets.Client
	log      *slog.Logger
}

func newService(vault string, options *azhost.ManagedIdentityCredentialOptions, client azcore.ClientOptions, log *slog.Logger) (*service, error) {
	_, domain, _ := strings.Cut(strings.TrimSuffix(vault, "/"), ".")
	s, registry := &service{ServeMux: http.NewServeMux(), resource: "https://" + domain, log: log}, prometheus.NewRegistry()
	s.Handle("POST /sign", http.TimeoutHandler(http.HandlerFunc(s.sign), 10*time.Second, "no signing key in time\n"))
	s.HandleFunc("GET /readyz", s.ready)
	s.HandleFunc("GET /healthz", s.health)
	s.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, err
	}
	metrics, err := azhostotel.New(metric.NewMeterProvider(metric.WithReader(reader)))
	if err != nil {
		return nil, err
	}
	options.Logger, options.Observe = log, metrics.Observe
	if s.cred, err = azhost.NewManagedIdentityCredential(options); err != nil {
		return nil, err
	}
	if _, err = metrics.Register(s.cred); err != nil {
		return nil, err
	}
	s.secrets, err = azsecrets.NewClient(vault, s.cred, &azsecrets.ClientOptions{ClientOptions: client})
	return s, err
}

// keepFresh gets a token before the first request needs it, and keeps it fresh while there are no requests.
// The credential logs failures. The Azure SDK's clients set EnableCAE, so keepFresh does too.
func (s *service) keepFresh(ctx context.Context) {
	for range s.cred.Tokens(ctx, policy.TokenRequestOptions{Scopes: []string{s.resource + "/.default"}, EnableCAE: true}) {
	}
}

// ready reports whether there is a valid token for the vault.
func (s *service) ready(w http.ResponseWriter, _ *http.Request) {
	for h := range s.cred.Health() {
		if h.Resource == s.resource && h.ExpiresOn.After(time.Now()) {
			fmt.Fprintln(w, "ready")
			return
		}
	}
	http.Error(w, "no valid token for "+s.resource, http.StatusServiceUnavailable)
}

// health lists the state of the tokens. The service is healthy even during an outage, because a restart
// wouldn't end it.
func (s *service) health(w http.ResponseWriter, _ *http.Request) {
	for h := range s.cred.Health() {
		fmt.Fprintf(w, "%s: expires %s, failures %d, error %v\n", h.Resource, h.ExpiresOn.Format(time.RFC3339), h.Failures, h.Err)
	}
}

// sign responds with the HMAC of the request's body.
func (s *service) sign(w http.ResponseWriter, r *http.Request) {
	key, err := s.secrets.GetSecret(r.Context(), "signing-key", "", nil) // "" is the latest version
	if err != nil {
		s.log.Error("no signing key", "error", err)
		http.Error(w, "no signing key", http.StatusServiceUnavailable)
		return
	}
	mac := hmac.New(sha256.New, []byte(*key.Value))
	if _, err := io.Copy(mac, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%x\n", mac.Sum(nil))
}

func main() { program.Main("service", run) }

// run serves until SIGINT or SIGTERM, and then finishes the requests under way.
func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("service", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on")
	vault := flags.String("vault", "", "`URL` of the vault, such as https://my-vault.vault.azure.net; if empty, start a fake, and a fake Azure VM")
	if err := program.Parse(flags, out, args, "signs messages over HTTP with a key from Azure Key Vault."); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(out, nil))
	options, client := &azhost.ManagedIdentityCredentialOptions{}, azcore.ClientOptions{}
	if *vault == "" {
		local, err := newLaptop()
		if err != nil {
			return err
		}
		defer local.close()
		*vault, options, client.Transport = laptopVault, local.vm.Options(), &http.Client{Transport: local.vault.Transport}
	}
	s, err := newService(*vault, options, client, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	log.Info("listening", "address", listener.Addr().String(), "vault", *vault)
	server := &http.Server{Handler: http.MaxBytesHandler(s, 1<<20), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	go s.keepFresh(ctx)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	log.Info("shutting down", "cause", context.Cause(ctx))
	return server.Shutdown(context.WithoutCancel(ctx)) // each request has its own time limits
}
