// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"regexp"
	"strings"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/detect"
)

// reason is a stable word for the outcome of a token request. Each except reasonOK is a section of
// TROUBLESHOOTING.md.
type reason string

const (
	reasonOK                  reason = "ok"
	reasonNotAzure            reason = "not-azure"
	reasonForeignResponse     reason = "foreign-response"
	reasonProxy               reason = "proxy"
	reasonNoIdentity          reason = "no-identity"
	reasonSeveralIdentities   reason = "several-identities"
	reasonIdentityNotAssigned reason = "identity-not-assigned"
	reasonIdentityDeleted     reason = "identity-deleted"
	reasonResourceNotFound    reason = "resource-not-found"
	reasonHostDown            reason = "host-down"
	reasonHostFailing         reason = "host-failing"
	reasonThrottled           reason = "throttled"
	reasonAgentDisconnected   reason = "agent-disconnected"
	reasonKeyUnreadable       reason = "key-unreadable"
	reasonKeyMissing          reason = "key-missing"
	reasonAccessDenied        reason = "access-denied"
	reasonEnvironment         reason = "environment"
	reasonTimeout             reason = "timeout"
	reasonUnusableResponse    reason = "unusable-response"
	reasonRequestFailed       reason = "request-failed"
)

func (r reason) exitCode() int {
	switch r {
	case reasonOK:
		return exitOK
	case reasonNotAzure, reasonForeignResponse, reasonNoIdentity:
		return exitUnavailable
	case reasonHostDown:
		return exitDown
	}
	return exitFailed
}

const troubleshooting = "https://github.com/azhost/azhost/blob/main/TROUBLESHOOTING.md#"

// url returns the URL of TROUBLESHOOTING.md's section about a reason.
func (r reason) url(host azhost.Source) string {
	anchor := string(r)
	switch {
	case r == reasonHostDown && host == azhost.SourceIMDS:
		anchor = "imds-blocked"
	case r == reasonHostDown && host == azhost.SourceAzureArc:
		anchor = "arc-agent-stopped"
	}
	return troubleshooting + anchor
}

// cause is the advice in an error of the library, and the reason for the error.
type cause struct {
	advice string
	reason reason
}

// causes returns the advice that tells more about an error than the response's status.
func causes(host azhost.Source, identity string) []cause {
	all := []cause{
		{advice.Impostor + ". " + advice.NotAzure, reasonForeignResponse}, // before NotAzure, which it contains
		{advice.NotAzure, reasonNotAzure},
		{advice.Blocked, reasonHostDown},
		{advice.PodBlocked, reasonHostDown},
		{advice.RespondedOnce, reasonHostDown},
		{advice.AgentStopped, reasonHostDown},
		{advice.PlatformMoved, reasonHostDown},
		{advice.Overloaded, reasonTimeout},
		{advice.WebProxy, reasonProxy},
		{advice.NoForwarding, reasonProxy},
		{advice.AssignOne, reasonNoIdentity},
		{advice.BindIdentity, reasonNoIdentity},
		{advice.ChooseOne, reasonSeveralIdentities},
		{advice.MLIdentity, reasonIdentityNotAssigned},
		{advice.AgentOutdated, reasonIdentityNotAssigned},
		{advice.AppNotFound, reasonIdentityDeleted},
		{advice.AppDisabled, reasonIdentityDeleted},
		{advice.NoResource, reasonResourceNotFound},
		{advice.AppResource, reasonResourceNotFound},
		{advice.FabricScope, reasonResourceNotFound},
		{advice.ShellScope, reasonResourceNotFound},
		{advice.AllowList, reasonAccessDenied},
		{advice.WrongHeader, reasonAccessDenied},
		{advice.WrongSecret, reasonAccessDenied},
		{advice.AgentOffline, reasonHostFailing},
		{advice.EntraBusy, reasonHostFailing},
		{advice.APIVersion, reasonRequestFailed},
		{advice.NoFederation, reasonRequestFailed},
		{advice.KeyRejected, reasonRequestFailed}, // before AgentStatus, with which it begins
		{advice.AgentStatus, ""},
	}
	if identity != "" {
		notAssigned := advice.For(advice.Failure{Host: detect.Host(host), Problem: advice.OtherIdentity, Identity: identity})
		all = append(all, cause{notAssigned, reasonIdentityNotAssigned})
	}
	return all
}

var entraCode = regexp.MustCompile(`AADSTS\d+`)

// explain returns the reason for an error of the library, and its text in two parts: what happened,
// and the advice, which may be "".
func explain(err error, host azhost.Source, identity string) (r reason, what, remedy string) {
	what = strings.TrimPrefix(err.Error(), "azhost: ")
	for _, c := range causes(host, identity) {
		if before, after, found := strings.Cut(what, ". "+c.advice); found {
			r, what, remedy = c.reason, before+after, c.advice+"."
			break
		}
	}
	if r == "" {
		r = reasonOf(err, host, identity)
	}
	return r, printable(what), printable(remedy)
}

// reasonOf returns the reason for an error whose advice doesn't determine it.
func reasonOf(err error, host azhost.Source, identity string) reason {
	resp := responseOf(err)
	_, unavailable := errors.AsType[*azhost.CredentialUnavailableError](err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return reasonKeyUnreadable
	case errors.Is(err, fs.ErrNotExist):
		return reasonKeyMissing
	case resp == nil && unavailable:
		return reasonEnvironment // nothing was sent
	case resp == nil && errors.Is(err, context.DeadlineExceeded):
		return reasonTimeout
	case resp == nil || entraCode.MatchString(err.Error()):
		return reasonRequestFailed
	}
	switch status := resp.StatusCode; {
	case status/100 == 2:
		return reasonUnusableResponse
	case status == http.StatusTooManyRequests:
		return reasonThrottled
	case status == http.StatusGone || status >= 500:
		return reasonHostFailing
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired:
		return reasonAccessDenied
	case status == http.StatusNotFound && host == azhost.SourceAzureArc && identity == "":
		return reasonNoIdentity
	}
	return reasonRequestFailed
}

// responseOf returns the last response that an error of the library is about, or nil.
func responseOf(err error) *http.Response {
	if e, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok {
		return e.RawResponse
	}
	if e, ok := errors.AsType[*azhost.CredentialUnavailableError](err); ok {
		return e.RawResponse
	}
	return nil
}
