// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

func TestKafkaNeedsToken(t *testing.T) {
	t.Parallel()
	k, err := NewKafka(host, "telemetry")
	require.NoError(t, err)
	t.Cleanup(k.Close)
	for _, test := range []struct {
		name    string
		options []kgo.Opt
		want    string
	}{
		{"no sign-in", nil, "is SASL missing"},
		{"kfake's password", []kgo.Opt{kgo.SASL(plain.Auth{User: "laptop", Pass: "laptop"}.AsMechanism())}, "UNSUPPORTED_SASL_MECHANISM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client, err := kgo.NewClient(append(test.options, k.Options...)...)
			require.NoError(t, err)
			defer client.Close()
			require.ErrorContains(t, client.Ping(ctx), test.want)
		})
	}
	require.Empty(t, k.Tokens())
}
