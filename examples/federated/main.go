// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command federated lists the subscriptions that an app registration can read in another tenant.
// The app has no secret. It trusts the tokens of this machine's managed identity instead.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/federated/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// newCredential is the function to copy. The tenant is that of the resources. The machine's identity must be
// user-assigned, and the app must have a federated credential for it. azidentity caches the app's tokens and
// calls assert when it needs another; azhost caches the assertions.
func newCredential(tenant, app, audience string, machine azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	machine.UnavailableError = azidentity.NewCredentialUnavailableError // outside Azure, lets a chain continue
	identity, err := azhost.NewManagedIdentityCredential(&machine)
	if err != nil {
		return nil, err
	}
	assert := func(ctx context.Context) (string, error) {
		token, err := identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience + "/.default"}})
		return token.Token, err
	}
	return azidentity.NewClientAssertionCredential(tenant, app, assert, &azidentity.ClientAssertionCredentialOptions{ClientOptions: options})
}

func main() { program.Main("federated", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("federated", flag.ContinueOnError)
	tenant := flags.String("tenant", "", "`ID` of the tenant with the subscriptions; if empty, start a fake")
	app := flags.String("app", "", "client `ID` of the app registration")
	identity := flags.String("identity", "", "client `ID` of this machine's user-assigned identity")
	in := flags.String("cloud", "public", "`name` of the cloud: public, usgov, or china")
	if err := program.Parse(flags, out, args, "lists the subscriptions that an app can read in another tenant, without a secret of the app."); err != nil {
		return err
	}
	c, ok := clouds[*in]
	if !ok {
		return program.Usagef("-cloud is %q, not public, usgov, or china", *in)
	}
	if *tenant != "" && (*app == "" || *identity == "") {
		return program.Usagef("-tenant needs -app and -identity")
	}
	machine := azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID(*identity)}
	options := azcore.ClientOptions{Cloud: c.Configuration}
	if *tenant == "" {
		fake, err := laptop.Start(c.Configuration, c.audience)
		if err != nil {
			return err
		}
		defer fake.Close()
		*tenant, *app, machine, options.Transport = laptop.Tenant, laptop.App, *fake.Machine, fake.Transport
	}

	cred, err := newCredential(*tenant, *app, c.audience, machine, options)
	if err != nil {
		return err
	}
	client, err := armsubscriptions.NewClient(cred, &arm.ClientOptions{ClientOptions: options})
	if err != nil {
		return err
	}
	for pager := client.NewListPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, s := range page.Value {
			fmt.Fprintf(out, "tenant %s has subscription %q\n", *s.TenantID, *s.DisplayName)
		}
	}
	return nil
}
