// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
)

// grant is a token and what it is for.
type grant struct {
	azcore.AccessToken
	resource string
	source   azhost.Source
}

// writer returns a token in one of the output formats, without a line end.
type writer func(grant) (string, error)

const (
	execForm   = "exec-credential"
	googleForm = "google-executable"
)

// formNames are the values of --output.
func formNames() []string {
	return []string{"token", "json", "header", "env", "powershell", "cmd", execForm, googleForm}
}

// writer returns the writer of the format, which may depend on the environment.
func (r *tokenRun) writer() (writer, error) {
	switch r.form {
	case "json":
		return jsonToken, nil
	case "header":
		return func(g grant) (string, error) { return "Authorization: Bearer " + g.Token, nil }, nil
	case "env":
		return variables(func(name, value string) string { return "export " + name + "=" + posixQuoted(value) }), nil
	case "powershell":
		return variables(func(name, value string) string { return "$env:" + name + " = " + powershellQuoted(value) }), nil
	case "cmd":
		return variables(func(name, value string) string { return `set "` + name + "=" + value + `"` }), nil
	case execForm:
		return execCredential(os.Getenv("KUBERNETES_EXEC_INFO"))
	case googleForm:
		return googleExecutable(os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"), os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE"))
	}
	return func(g grant) (string, error) { return g.Token, nil }, nil
}

// variables returns a writer of shell commands that set variables. set returns the command for one variable.
func variables(set func(name, value string) string) writer {
	return func(g grant) (string, error) {
		return set("AZURE_ACCESS_TOKEN", g.Token) + "\n" + set("AZURE_ACCESS_TOKEN_EXPIRES_ON", stamp(g.ExpiresOn)), nil
	}
}

func jsonToken(g grant) (string, error) {
	v := struct {
		AccessToken string        `json:"accessToken"`
		ExpiresOn   string        `json:"expiresOn"`
		RefreshOn   string        `json:"refreshOn,omitempty"`
		Resource    string        `json:"resource"`
		Source      azhost.Source `json:"source"`
		TokenType   string        `json:"tokenType"`
	}{g.Token, stamp(g.ExpiresOn), "", g.resource, g.source, "Bearer"}
	if !g.RefreshOn.IsZero() {
		v.RefreshOn = stamp(g.RefreshOn)
	}
	return jsonText(v)
}

// execCredential returns the writer of what kubectl expects from a credential plugin, in the version that the
// variable KUBERNETES_EXEC_INFO asks for.
func execCredential(info string) (writer, error) {
	asked := struct {
		APIVersion string `json:"apiVersion"`
	}{"client.authentication.k8s.io/v1"}
	if strings.TrimSpace(info) != "" {
		if err := json.Unmarshal([]byte(info), &asked); err != nil {
			return nil, fmt.Errorf("KUBERNETES_EXEC_INFO isn't JSON: %w", err)
		}
	}
	switch asked.APIVersion {
	case "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1":
	default:
		return nil, fmt.Errorf("KUBERNETES_EXEC_INFO asks for apiVersion %.100q; azhost has client.authentication.k8s.io/v1 and v1beta1. Set one of them in the kubeconfig", asked.APIVersion)
	}
	return func(g grant) (string, error) {
		type status struct {
			ExpirationTimestamp string `json:"expirationTimestamp"`
			Token               string `json:"token"`
		}
		return jsonText(struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Status     status `json:"status"`
		}{asked.APIVersion, "ExecCredential", status{stamp(g.ExpiresOn), g.Token}})
	}, nil
}

// googleResponse is what Google's client libraries expect from an executable credential source.
type googleResponse struct {
	Version        int    `json:"version"`
	Success        bool   `json:"success"`
	TokenType      string `json:"token_type,omitempty"`
	IDToken        string `json:"id_token,omitempty"`
	ExpirationTime int64  `json:"expiration_time,omitempty"`
	Code           string `json:"code,omitempty"`
	Message        string `json:"message,omitempty"`
}

const (
	googleJWT     = "urn:ietf:params:oauth:token-type:jwt"
	googleIDToken = "urn:ietf:params:oauth:token-type:id_token"
)

// googleExecutable returns the writer of what Google's library expects, with the token type that it asks for.
// The library may also name an output file, which it reads before it runs the command again.
func googleExecutable(tokenType, outputFile string) (writer, error) {
	switch tokenType {
	case "":
		tokenType = googleJWT
	case googleJWT, googleIDToken:
	default:
		return nil, fmt.Errorf("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE asks for %.100q; azhost has %s and %s. Set one of them as subject_token_type", tokenType, googleJWT, googleIDToken)
	}
	return func(g grant) (string, error) {
		text, err := jsonText(googleResponse{Version: 1, Success: true, TokenType: tokenType, IDToken: g.Token, ExpirationTime: g.ExpiresOn.Unix()})
		if err == nil && outputFile != "" {
			err = writeFile(outputFile, text)
		}
		return text, err
	}, nil
}

// writeGoogleFailure writes a failure to w, where Google's libraries find its text. They ignore the output of
// a command that fails, so this returns nil.
func writeGoogleFailure(w io.Writer, err error) error {
	text, jsonErr := jsonText(googleResponse{Version: 1, Code: "azhost", Message: plain(err)})
	if jsonErr == nil {
		_, jsonErr = fmt.Fprintln(w, text)
	}
	return jsonErr
}

// jsonText returns a value as indented JSON, without a line end.
func jsonText(v any) (string, error) {
	var b bytes.Buffer
	err := writeJSON(&b, v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// stamp formats a time for kubectl, jq, and people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// posixQuoted quotes s for a POSIX shell.
func posixQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// powershellQuoted quotes s for PowerShell.
func powershellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
