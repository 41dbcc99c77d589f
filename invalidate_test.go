// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

// TestInvalidateDuringRefresh checks that a refresh that began before Invalidate doesn't restore the
// dropped token. The next call starts a request that names the token to the host, whichever of the two ends
// first.
func TestInvalidateDuringRefresh(t *testing.T) {
	for _, refresh := range []time.Duration{500 * time.Millisecond, 10 * time.Second} {
		t.Run(refresh.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := primed(t, time.Hour, 0)
				r.set(func() {
					r.fetch = func(context.Context, string) (azcore.AccessToken, error) {
						time.Sleep(refresh)
						return azcore.AccessToken{Token: "r#1", ExpiresOn: time.Now().Add(time.Hour)}, nil
					}
				})
				time.Sleep(55 * time.Minute)
				r.token(t) // starts a refresh
				synctest.Wait()
				r.drop("r#1")
				r.set(func() { r.fetch, r.takes = nil, time.Second })
				for range 3 {
					token, err := r.want(t.Context(), "r", "")
					require.NoError(t, err)
					require.Equal(t, "r#3", token.Token)
				}
				time.Sleep(time.Minute)
				require.Equal(t, "r#3", r.token(t).Token)
				require.Equal(t, []string{"r#1"}, r.rejected)
				require.Equal(t, 3, r.count())
			})
		})
	}
}

func TestHostReturnsRejectedToken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.fetch = func(context.Context, string) (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "the same", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}
		for _, claims := range []string{"", "revoked", "revoked", "other"} {
			token, err := r.want(t.Context(), "r", claims)
			require.NoError(t, err)
			require.Equal(t, "the same", token.Token)
		}
		time.Sleep(55 * time.Minute)
		r.token(t) // an ordinary refresh returns it again
		synctest.Wait()
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 6, r.count())
		require.Equal(t, 4, strings.Count(r.logged.String(), "the host returned the token that a service rejected"), r.logged.String())
		require.NotContains(t, r.logged.String(), "the same")
	})
}

// TestInvalidateNothing checks that an empty token counts for nothing, even if a failed resource has none.
func TestInvalidateNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		cred := r.credential()
		r.set(func() { r.down = failed(nil, nil, "down") })
		_, err := r.want(t.Context(), "r", "")
		require.Error(t, err)
		cred.Invalidate("")
		time.Sleep(2 * time.Second) // until the failure is forgotten
		r.set(func() { r.down = nil })
		first := r.token(t)
		cred.Invalidate(first.Token)
		require.NotEqual(t, first.Token, r.token(t).Token)
	})
}
