// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/azhost/azhost/azhosttest"
)

// Rule is the immutable ID of the fake's only data collection rule.
const Rule = "dcr-00112233445566778899aabbccddeeff"

const monitorAudience = "https://monitor.azure.com"

// Logs starts a data collection endpoint of Azure Monitor. Its rule has one stream, "Custom-Examples",
// with the columns TimeGenerated and Message.
func Logs() (*Service, error) {
	return start("https://laptop-abcd.westus-1.ingest.monitor.azure.com", func(vm *azhosttest.VM) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /dataCollectionRules/"+Rule+"/streams/Custom-Examples", ingest)
		mux.HandleFunc("POST /dataCollectionRules/"+Rule+"/streams/{stream}", func(w http.ResponseWriter, r *http.Request) {
			writeError(w, http.StatusBadRequest, "InvalidStream", "The stream was not declared in the data collection rule.")
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			writeError(w, http.StatusNotFound, "RuleNotFound", "The data collection rule was not found.")
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := caller(vm, r, monitorAudience, monitorAudience+"/"); err != nil {
				writeError(w, http.StatusUnauthorized, "InvalidToken", err.Error())
				return
			}
			mux.ServeHTTP(w, r)
		})
	})
}

// ingest checks the records of an upload.
func ingest(w http.ResponseWriter, r *http.Request) {
	var records []struct {
		TimeGenerated time.Time
		Message       string
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&records)
	for _, record := range records {
		if record.TimeGenerated.IsZero() || record.Message == "" {
			writeError(w, http.StatusBadRequest, "InvalidPayload", "A record has no TimeGenerated or no Message.")
			return
		}
	}
	if err != nil || len(records) == 0 {
		writeError(w, http.StatusBadRequest, "InvalidPayload", "The body must be a JSON array of records.")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
