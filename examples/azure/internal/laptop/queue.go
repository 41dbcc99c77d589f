// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/azhost/azhost/azhosttest"
)

// QueueName is the only queue in the fake storage account.
const QueueName = "examples"

// Queue starts the queue service of a storage account.
func Queue() (*Service, error) {
	return start("https://"+Account+".queue.core.windows.net", func(vm *azhosttest.VM) http.Handler { return &queue{vm: vm} })
}

// message is a message as the service sends it.
type message struct {
	ID           string `xml:"MessageId"`
	Inserted     string `xml:"InsertionTime"`
	Expires      string `xml:"ExpirationTime"`
	PopReceipt   string
	NextVisible  string `xml:"TimeNextVisible"`
	DequeueCount int    `xml:",omitempty"`
	Text         string `xml:"MessageText,omitempty"`
}

// queue is the handler of a queue service.
type queue struct {
	vm *azhosttest.VM

	mu       sync.Mutex
	sent     int
	messages []message // guarded by mu, as is sent
}

func (q *queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := caller(q.vm, r, storageAudience, storageAudience+"/"); err != nil {
		challengeStorage(w)
		storageError(w, http.StatusUnauthorized, "InvalidAuthenticationInfo", err.Error())
		return
	}
	messages, id, _ := strings.Cut(r.URL.Path[1:], "/messages")
	if messages != QueueName {
		storageError(w, http.StatusNotFound, "QueueNotFound", "The specified queue does not exist.")
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case r.Method == http.MethodPost:
		q.put(w, r)
	case r.Method == http.MethodGet:
		q.get(w)
	case r.Method == http.MethodDelete && len(q.messages) > 0 && id == "/"+q.messages[0].ID && r.URL.Query().Get("popreceipt") == q.messages[0].PopReceipt:
		q.messages = q.messages[1:]
		w.WriteHeader(http.StatusNoContent)
	default:
		storageError(w, http.StatusNotFound, "MessageNotFound", "The specified message does not exist.")
	}
}

// put adds a message to the queue.
func (q *queue) put(w http.ResponseWriter, r *http.Request) {
	var body struct {
		MessageText string
	}
	if err := xml.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<17)).Decode(&body); err != nil {
		storageError(w, http.StatusBadRequest, "InvalidXmlDocument", "XML specified is not syntactically valid.")
		return
	}
	q.sent++
	now := time.Now().UTC()
	m := message{
		ID: fmt.Sprintf("5974b586-0df3-4e2d-ad0c-%012d", q.sent), PopReceipt: "receipt-" + strconv.Itoa(q.sent), Text: body.MessageText,
		Inserted: now.Format(http.TimeFormat), NextVisible: now.Format(http.TimeFormat), Expires: now.AddDate(0, 0, 7).Format(http.TimeFormat),
	}
	q.messages = append(q.messages, m)
	m.Text = ""
	writeMessages(w, http.StatusCreated, m)
}

// get returns the message at the front of the queue. Unlike the service, it doesn't hide the message.
func (q *queue) get(w http.ResponseWriter) {
	if len(q.messages) == 0 {
		writeMessages(w, http.StatusOK)
		return
	}
	q.messages[0].DequeueCount++
	writeMessages(w, http.StatusOK, q.messages[0])
}

func writeMessages(w http.ResponseWriter, status int, messages ...message) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct { // fails only if the client has disconnected
		XMLName  xml.Name  `xml:"QueueMessagesList"`
		Messages []message `xml:"QueueMessage"`
	}{Messages: messages})
}
