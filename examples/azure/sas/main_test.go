// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/azurite"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

const account = "/subscriptions/" + laptop.Subscription + "/resourceGroups/" + laptop.Group +
	"/providers/Microsoft.Storage/storageAccounts/" + laptop.Account

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, `https://devstoreaccount1.blob.core.windows.net/examples/testblob is "This is a test text file."`+"\n", out.String())

	require.ErrorContains(t, run(t.Context(), &out, []string{"-group", "devtest"}), "404")
}

func TestSignatureHasRequestedPermissions(t *testing.T) {
	t.Parallel()
	fake, err := laptop.SAS()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	expiry := time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)

	signature, err := listServiceSAS(t.Context(), account, laptop.Container, expiry, fake.Machine, fake.Client)
	require.NoError(t, err)
	fake.VM.RequireResource(t, "https://management.core.windows.net/")
	got, err := url.ParseQuery(signature)
	require.NoError(t, err)
	require.Equal(t, []string{"c", "rcw", "https", "2040-01-02T03:04:05Z"},
		[]string{got.Get("sr"), got.Get("sp"), got.Get("spr"), got.Get("se")})
}

func TestFakeChecksSignatures(t *testing.T) {
	t.Parallel()
	fake, err := laptop.SAS()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	sign := func(container string, life time.Duration) string {
		s, err := listServiceSAS(t.Context(), account, container, time.Now().Add(life), fake.Machine, fake.Client)
		require.NoError(t, err)
		return s
	}
	forged := sign(laptop.Container, time.Minute)
	forged = forged[:len("se=2")] + "9" + forged[len("se=20"):] // change the expiry, which comes first
	for _, row := range []struct{ name, signature, want string }{
		{"another container", sign("other", time.Minute), "does not match"},
		{"forged expiry", forged, "does not match"},
		{"expired", sign(laptop.Container, -time.Minute), "has expired"},
	} {
		_, err := upAndDown(t.Context(), fake.URL+"/"+laptop.Container, row.signature, "b", nil, fake.Client)
		require.ErrorContains(t, err, row.want, row.name)
	}
}

func TestAzurite(t *testing.T) {
	t.Parallel()
	service := azurite.Start(t)
	fake, err := laptop.SAS()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	cred, err := azhost.NewManagedIdentityCredential(fake.Machine)
	require.NoError(t, err)
	client, err := azblob.NewClient(service.Blob, cred, &azblob.ClientOptions{ClientOptions: service.Client})
	require.NoError(t, err)
	_, err = client.CreateContainer(t.Context(), "examples", nil)
	require.NoError(t, err)

	signature, err := listServiceSAS(t.Context(), account, "examples", time.Now().Add(time.Minute), fake.Machine, fake.Client)
	require.NoError(t, err)
	got, err := upAndDown(t.Context(), service.Blob+"/examples", signature, "testblob", []byte("content"), service.Client)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))

	expired, err := listServiceSAS(t.Context(), account, "examples", time.Now().Add(-time.Minute), fake.Machine, fake.Client)
	require.NoError(t, err)
	_, err = upAndDown(t.Context(), service.Blob+"/examples", expired, "testblob", nil, service.Client)
	require.True(t, bloberror.HasCode(err, bloberror.AuthorizationFailure, bloberror.AuthenticationFailed), "%v", err)
}

// failing is a transport without a network.
type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }

func TestErrorsOmitSignature(t *testing.T) {
	t.Parallel()
	var options azcore.ClientOptions
	options.Transport = &http.Client{Transport: failing{}}
	options.Retry.MaxRetries = -1
	_, err := upAndDown(t.Context(), "https://account.blob.core.windows.net/examples", "sig=secret", "b", nil, options)
	require.ErrorContains(t, err, "no route")
	require.NotContains(t, err.Error(), "secret")
}
