// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/azhost/azhost/azhosttest"
)

// Deployment is the only deployment of the fake Azure OpenAI resource.
const Deployment = "gpt"

const openAIAudience = "https://cognitiveservices.azure.com"

// OpenAI starts an Azure OpenAI resource. Its model responds to every prompt with the same greeting, streamed
// word by word.
func OpenAI() (*Service, error) {
	return start("https://laptop.openai.azure.com", func(vm *azhosttest.VM) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /openai/deployments/"+Deployment+"/chat/completions", completeChat)
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			writeError(w, http.StatusNotFound, "DeploymentNotFound", "The API deployment for this resource does not exist.")
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := caller(vm, r, openAIAudience, openAIAudience+"/"); err != nil {
				writeError(w, http.StatusUnauthorized, "401", "Unauthorized. Access token is missing, invalid, audience is incorrect ("+openAIAudience+"), or have expired.")
				return
			}
			if r.URL.Query().Get("api-version") == "" {
				writeError(w, http.StatusNotFound, "404", "Resource not found")
				return
			}
			mux.ServeHTTP(w, r)
		})
	})
}

// completeChat streams the greeting as server-sent events.
func completeChat(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Messages []struct{ Role, Content string }
		Stream   bool
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil || len(body.Messages) == 0 || !body.Stream {
		writeError(w, http.StatusBadRequest, "BadRequest", "The request must have messages and ask for a stream.")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	// Azure OpenAI sends the results of its content filter first, in a chunk without choices.
	fmt.Fprint(w, `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}`+"\n\n")
	for word := range strings.SplitAfterSeq("hello from Azure OpenAI", " ") {
		fmt.Fprintf(w, `data: {"choices":[{"delta":{"content":%q},"finish_reason":null,"index":0}],"created":1704067200,"id":"chatcmpl-1","model":"gpt","object":"chat.completion.chunk"}`+"\n\n", word)
		_ = flush() // fails only if the client has disconnected
	}
	fmt.Fprint(w, `data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}],"created":1704067200,"id":"chatcmpl-1","model":"gpt","object":"chat.completion.chunk"}`+"\n\ndata: [DONE]\n\n")
}
