// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/keyfile"
)

// arc is the agent of an Azure Arc-enabled server.
type arc struct {
	protocol
	gate *gate
}

// checkArc sets in.wrong if the directory of the agent's keys is unknown.
func checkArc(in *setup) error {
	if keyfile.Directory(in.env.ProgramData) == "" && in.identity.keyDir == "" && in.wrong == nil {
		in.wrong = errors.New("the directory of the Arc agent's keys is unknown on this system. Set ArcKeyDirectory or, on Windows, %ProgramData%")
	}
	return nil
}

func newArc(in *setup) source {
	in.perTry = exchange{agentDir: keyfile.Directory(in.env.ProgramData), keyDir: in.identity.keyDir}
	return &arc{
		protocol: protocol{
			identity: in.identity, label: in.host.label, apiVersion: "2020-06-01", reason: in.reason,
			resourceID: "msi_res_id", // the agent ignores mi_res_id and returns a token for another identity
			mustEcho:   true,
		},
		gate: in.gate,
	}
}

// request implements [source].
func (s *arc) request(ctx context.Context, w want) (*policy.Request, error) {
	req, err := s.build(ctx, w.resource)
	if err == nil && w.fresh {
		query := req.Raw().URL.Query()
		query.Set("bypass_cache", "true") // bypasses the agent's own cache; agents before 1.66 ignore it
		req.Raw().URL.RawQuery = query.Encode()
	}
	return req, err
}

// genuine treats every complete response as the agent's. Only at IMDS's address are other services known to
// respond.
func (s *arc) genuine(_ *http.Response, err error) bool { return err == nil }

// explain implements [source].
func (s *arc) explain(resp *http.Response, err error) error {
	if err == nil {
		f := advice.Failure{}
		if resp.StatusCode == http.StatusUnauthorized {
			f.Problem = advice.KeyRefused
		}
		return s.failed(resp, nil, "%s%s", describeResponse(resp), s.advice(resp, f))
	}
	f := advice.Failure{Problem: problemOf(err)}
	if f.Problem == advice.NotListening && !s.gate.hasResponded() {
		return s.unavailable(nil, err, "%s%s", describe(err), s.advice(nil, f))
	}
	return s.failed(nil, err, "%s%s", describe(err), s.advice(nil, f))
}

// exchange is the pipeline policy that responds to the agent's challenge. It runs in every attempt, so that
// each gets a new challenge: a key is valid for 60 s, and a pause between attempts may take longer.
type exchange struct {
	agentDir string // where the agent writes its keys
	keyDir   string // where this program finds them, if elsewhere
}

const (
	// maxExchanges is how many challenges one attempt gets if the key file is missing or empty, or the agent
	// rejects the key. This happens when two exchanges overlap or the agent restarts.
	maxExchanges = 3
	// exchangePause is the pause after the first exchange; the next pause is twice as long. The agent may be
	// writing a key or restarting.
	exchangePause = 500 * time.Millisecond
)

// Do implements [policy.Policy].
func (x exchange) Do(req *policy.Request) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := x.once(req)
		again := responseOf(err) != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, keyfile.ErrEmpty)) ||
			err == nil && resp.StatusCode == http.StatusUnauthorized
		if !again || n == maxExchanges {
			return resp, err
		}
		select {
		case <-time.After(time.Duration(n) * exchangePause):
		case <-req.Raw().Context().Done():
			return resp, err
		}
	}
}

// once makes one exchange: it requests a token, reads the key file that the challenge names, and requests
// the token again with the key.
func (x exchange) once(req *policy.Request) (*http.Response, error) {
	req.Raw().Close = true // no Transport keeps a connection that a later key could be sent on
	resp, err := req.Clone(req.Raw().Context()).Next()
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode/100 == 2:
		// An agent returns a token only in response to a key.
		return nil, rejection(resp, fmt.Errorf("received a response without a challenge; another program may be listening on the Arc agent's port: %s", describeResponse(resp)))
	case resp.StatusCode != http.StatusUnauthorized:
		return resp, nil
	}
	key, err := readKey(resp, x.agentDir, x.keyDir)
	if err != nil {
		return nil, rejection(resp, err)
	}
	proven := req.Clone(req.Raw().Context())
	proven.Raw().Header.Set("Authorization", "Basic "+key)
	resp, err = proven.Next()
	if err == nil && resp.StatusCode/100 == 2 && resp.StatusCode != http.StatusOK {
		return nil, rejection(resp, fmt.Errorf("the Arc agent doesn't return tokens with this status: %s", describeResponse(resp)))
	}
	return resp, err
}

// rejection returns the error for a response after which retry makes no other attempt. The exchange may be
// repeated.
func rejection(resp *http.Response, err error) error { return final{&responseError{resp, err}} }

var _ policy.Policy = exchange{}
