// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/keyfile"
)

// arc is the agent of an Azure Arc-enabled server.
type arc struct {
	protocol
	client *azcore.Client
	gate   *gate
}

// arcAddress is where the agent listens. The literal address saves trying ::1 first.
const arcAddress = "http://127.0.0.1:40342/metadata/identity/oauth2/token"

// arcRetry leaves the rest to azcore's own defaults; the agent's 404 is final.
var arcRetry = policy.RetryOptions{MaxRetryDelay: time.Minute}

func newArc(in *setup) (source, error) {
	agentDir, keyDir := keyfile.Directory(in.env.ProgramData), in.identity.keyDir
	if agentDir == "" && keyDir == "" {
		return nil, errors.New("the directory of the Arc agent's keys is unknown: the agent runs on Linux, and on Windows with %ProgramData% set; set ArcKeyDirectory")
	}
	if err := in.connect(arcRetry, exchange{agentDir: agentDir, keyDir: keyDir}); err != nil {
		return nil, err
	}
	return &arc{
		protocol: protocol{
			identity: in.identity, label: "Azure Arc", apiVersion: "2020-06-01", log: in.options.Logger,
			resourceID: "msi_res_id", // the agent ignores mi_res_id, and answers for another identity
			mustEcho:   true,
		},
		client: in.client,
		gate:   in.gate,
	}, nil
}

// fetch asks the agent.
func (s *arc) fetch(ctx context.Context, w want) (azcore.AccessToken, error) {
	req, err := s.build(ctx, w.resource)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	resp, err := s.client.Pipeline().Do(req)
	if ended := s.ended(ctx); ended != nil {
		return azcore.AccessToken{}, ended
	}
	if err != nil {
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" && !exhausted(err) && !s.gate.answered.Load() {
			return azcore.AccessToken{}, s.unavailable(err, "%v. The Arc agent is not running; start himds (Windows) or himdsd.service (Linux), and see azcmagent show", bare(err))
		}
		return azcore.AccessToken{}, s.failed(nil, err, "%v", bare(err))
	}
	s.gate.answered.Store(true)
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		return s.token(resp)
	case status == http.StatusUnauthorized:
		return azcore.AccessToken{}, s.failed(resp, nil, "%s: the agent refused the key that it had named, %d times. See azcmagent show", answered(resp), maxExchanges)
	case status == http.StatusNotFound && s.id != "":
		return azcore.AccessToken{}, s.failed(resp, nil, "%s. Is the user-assigned identity with %s %q assigned to this server?", answered(resp), s.kind, s.id)
	default:
		return azcore.AccessToken{}, s.failed(resp, nil, "%s. See azcmagent show for the agent's state", answered(resp))
	}
}

// exchange is the pipeline policy that answers the agent's challenge. It runs at every attempt of
// the retry policy, so that every attempt gets a challenge of its own: a key is good for 60 s
// after its challenge, and a pause between attempts may take longer.
type exchange struct {
	agentDir string // where the agent writes its keys
	keyDir   string // where this program finds them, if elsewhere
}

const (
	// maxExchanges bounds the challenges of one attempt when the key that the agent names has
	// vanished, is empty or is refused, as when two exchanges cross or the agent restarts.
	maxExchanges = 3
	// exchangePause, then twice that, lets an agent finish what it is in the middle of.
	exchangePause = 500 * time.Millisecond
)

// Do implements [policy.Policy].
func (x exchange) Do(req *policy.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := x.once(req)
		again := err != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, keyfile.ErrEmpty)) ||
			err == nil && resp.StatusCode == http.StatusUnauthorized
		if !again || n == maxExchanges {
			return resp, err
		}
		select {
		case <-time.After(time.Duration(n) * exchangePause):
		case <-req.Raw().Context().Done():
			return nil, req.Raw().Context().Err()
		}
	}
}

// once asks without proof, reads the key that the challenge names and asks with it.
func (x exchange) once(req *policy.Request) (*http.Response, error) {
	// On a connection that was used before, net/http would send a key again, to whoever listens by then.
	req.Raw().Close = true
	resp, err := req.Clone(req.Raw().Context()).Next()
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK:
		// No agent gives a token away unasked for proof.
		return nil, final{errors.New("a token without a challenge, which no Arc agent sends: something else listens there")}
	case resp.StatusCode != http.StatusUnauthorized:
		return resp, nil
	}
	key, err := readKey(resp.Header, x.agentDir, x.keyDir)
	if err != nil {
		return nil, final{err}
	}
	proven := req.Clone(req.Raw().Context())
	proven.Raw().Header.Set("Authorization", "Basic "+key)
	return proven.Next()
}

var _ policy.Policy = exchange{}
