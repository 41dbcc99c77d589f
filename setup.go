// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/detect"
)

// setup is what a source is built from.
type setup struct {
	options  *ManagedIdentityCredentialOptions // a copy of the caller's
	env      detect.Environment
	host     host
	identity identity
	gate     *gate
	reason   string   // for errors: why the host was detected; "" for IMDS, and if the caller set it
	warnings []string // for the log, about the environment
	notes    string   // about incomplete variables, which may be why IMDS was chosen
	wrong    error    // an error in the environment, which GetToken returns; if set, the host doesn't check ID

	// Set by newClient and the host's build.
	transport policy.Transporter
	perTry    policy.Policy // the host's own, for every attempt
}

// newCredential checks o and detects the host. It postpones everything that only requests need, because some
// programs create a credential for each use.
func newCredential(o ManagedIdentityCredentialOptions) (*ManagedIdentityCredential, error) {
	in := &setup{options: &o, env: detect.Read()}
	log := loggerOf(o.Logger)
	if err := in.checkOptions(); err != nil {
		return nil, err
	}
	name, reason := o.Source, "Source is set"
	if name == "" {
		var found detect.Host
		found, reason = in.env.Host()
		if name = Source(found); name != SourceIMDS {
			in.reason = reason
		}
	}
	var ok bool
	if in.host, ok = hostOf(name); !ok {
		return nil, fmt.Errorf("unknown Source %q", name)
	}
	in.identity.source = name
	in.identity.declared = name == SourceIMDS && o.Source == name && o.Endpoint == ""
	if err := in.findEndpoint(); err != nil {
		return nil, err
	}
	if err := in.host.check(in); err != nil {
		return nil, err
	}
	for _, note := range in.env.Notes() {
		in.notes += ". " + note
		in.warnings = append(in.warnings, note)
	}
	if in.wrong != nil {
		in.warnings = append(in.warnings, in.wrong.Error())
	}
	in.log(log, reason)

	c := &ManagedIdentityCredential{name: name, unavailableError: o.UnavailableError}
	in.gate, c.cache = in.share(false)
	c.requester.gate, c.requester.from = in.gate, in.from
	if c.revocable = c.cache; name == SourceServiceFabric {
		_, c.revocable = in.share(true)
	}
	c.client = sync.OnceValue(func() *client { return newClient(in) })
	c.traced = o.TracingProvider.NewTracer(module, version).Enabled()
	c.requester.fetch = func(ctx context.Context, w want) (azcore.AccessToken, error) { return c.client().fetch(ctx, w) }
	if c.requester.log = log; log != nil {
		c.requester.log = log.With("source", name)
	}
	if o.Observe != nil {
		c.requester.observe = func(e Event) {
			e.Source, e.Identity, e.Err = name, in.identity.id, delivered(e.Err, nil)
			o.Observe(e)
		}
	}
	return c, nil
}

// log logs the detected host and the warnings.
func (in *setup) log(log *slog.Logger, reason string) {
	if log == nil {
		return
	}
	selected := "system-assigned"
	if in.identity.id != "" {
		selected = fmt.Sprintf("user-assigned, %s %s", in.identity.kind, in.identity.id)
	}
	log.Info("azhost: host found", "source", in.host.source, "reason", reason, "identity", selected)
	for _, warning := range in.warnings {
		log.Warn("azhost: " + warning)
	}
}

// from names the host in errors about requests that have had no response.
func (in *setup) from() string {
	text := fmt.Sprintf(" from %s at %s", in.host.label, in.identity.endpoint)
	if in.reason != "" {
		text += ", chosen because " + in.reason
	}
	return text
}

// checkOptions checks the options that don't depend on the host.
func (in *setup) checkOptions() error {
	o := in.options
	// The caller may change its slices later.
	o.PerCallPolicies, o.PerRetryPolicies = slices.Clone(o.PerCallPolicies), slices.Clone(o.PerRetryPolicies)
	o.Retry.StatusCodes = slices.Clone(o.Retry.StatusCodes)
	o.Logging.AllowedHeaders = slices.Clone(o.Logging.AllowedHeaders)
	o.Logging.AllowedQueryParams = slices.Clone(o.Logging.AllowedQueryParams)
	if v := reflect.ValueOf(o.ID); v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("ID is a nil pointer. For the system-assigned identity, leave ID nil")
	}
	if o.ID != nil {
		kind, id := o.ID.selector()
		if err := checkID(kind, id); err != nil {
			return err
		}
		in.identity.kind, in.identity.id = kind, id
	}
	if client, ok := o.Transport.(*http.Client); ok && client == nil {
		return errors.New("the Transport is a nil *http.Client. To use the default client, leave Transport nil")
	}
	if o.ConnectTimeout < 0 {
		return fmt.Errorf("ConnectTimeout is negative: %s. Use zero for the default of %s", o.ConnectTimeout, defaultConnectTimeout)
	}
	switch dir := o.ArcKeyDirectory; {
	case dir == "":
	case !filepath.IsAbs(dir):
		return fmt.Errorf("ArcKeyDirectory %.200q is not an absolute path", dir)
	default:
		in.identity.keyDir = filepath.Clean(dir)
	}
	in.identity.retry = scalars{o.Retry.MaxRetries, o.Retry.TryTimeout, o.Retry.RetryDelay, o.Retry.MaxRetryDelay}
	return nil
}

var guid = regexp.MustCompile(`^\{?[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\}?$`)

// checkID rejects text that cannot be an ID. The host would only report that the identity does not exist.
// All other text is allowed, because tests use names instead of GUIDs.
func checkID(kind idKind, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("ID: the %s is empty. For the system-assigned identity, leave ID nil", kind)
	case strings.Contains(id, "${"):
		return fmt.Errorf("ID: the %s %.200q contains an unexpanded variable", kind, id)
	case strings.ContainsFunc(id, inNoID):
		r, _ := utf8.DecodeRuneInString(id[strings.IndexFunc(id, inNoID):])
		return fmt.Errorf("ID: the %s %.200q contains white space or quotes: %q", kind, id, r)
	case kind != byResourceID && strings.Contains(id, "/"):
		return fmt.Errorf("ID: the %s %.200q contains a slash. Use ResourceID for a resource ID", kind, id)
	case kind == byResourceID && guid.MatchString(id):
		return fmt.Errorf("ID: the resource ID %.200q is a GUID. Use ClientID or ObjectID", id)
	}
	return nil
}

// inNoID reports whether a character is a space, a quote, invisible, or not UTF-8. Copied text may contain
// typographic quotes and zero-width spaces.
func inNoID(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Quotation_Mark) || r == '`' || r == '´' || r == utf8.RuneError
}

// share returns the gate and the cache of the credential, which it may share with others.
func (in *setup) share(revocable bool) (*gate, *cache) {
	id := in.identity
	id.revocable = revocable
	newGate := func() *gate { return newGate(id.source == SourceIMDS) }
	newCache := func() *cache { return newCache(revocable) }
	o := in.options
	if in.wrong != nil || !distinct(o.Transport) || len(o.PerCallPolicies)+len(o.PerRetryPolicies) > 0 ||
		o.Retry.StatusCodes != nil || o.Retry.ShouldRetry != nil {
		return newGate(), newCache()
	}
	id.transport = o.Transport
	return shared.gates.get(id.route, newGate), shared.caches.get(id, newCache)
}
