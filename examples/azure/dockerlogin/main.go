// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command dockerlogin prints a password that docker login accepts for an Azure Container Registry. It gets
// the password from the registry in exchange for a token of the machine's managed identity. The user name is
// 00000000-0000-0000-0000-000000000000.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// password exchanges a Microsoft Entra access token for a registry refresh token, which is valid for
// about three hours. On Azure, machine can be nil and options zero. The identity needs the role
// AcrPull or AcrPush.
func password(ctx context.Context, registry string,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return "", err
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://containerregistry.azure.net/.default"}})
	if err != nil {
		return "", err
	}
	service, err := url.Parse(registry)
	if err != nil {
		return "", err
	}
	client, err := azcontainerregistry.NewAuthenticationClient(registry, &azcontainerregistry.AuthenticationClientOptions{ClientOptions: options})
	if err != nil {
		return "", err
	}
	resp, err := client.ExchangeAADAccessTokenForACRRefreshToken(ctx, azcontainerregistry.PostContentSchemaGrantTypeAccessToken, service.Host,
		&azcontainerregistry.AuthenticationClientExchangeAADAccessTokenForACRRefreshTokenOptions{AccessToken: &token.Token})
	if err != nil {
		return "", err
	}
	return *resp.RefreshToken, nil
}

func main() { program.Main("dockerlogin", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("dockerlogin", flag.ContinueOnError)
	registry := flags.String("registry", "", "`URL` of the registry, such as https://myregistry.azurecr.io; if empty, start a fake")
	if err := program.Parse(flags, out, args, "prints a password for docker login --username 00000000-0000-0000-0000-000000000000."); err != nil {
		return err
	}
	service, err := laptop.Start(registry, laptop.Registry)
	if err != nil {
		return err
	}
	defer service.Close()

	secret, err := password(ctx, *registry, service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, secret)
	return nil
}
