// Starts the server the way the Go SDK's users do in their tests, and runs workflows on it.
//
//	go run . PATH_OF_SERVER
//
// Prints one line per check, "ok NAME" or "FAIL NAME: why"; sdk.py counts them.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
)

const (
	namespace    = "sdk-go"
	taskQueue    = "sdk-go"
	checkTimeout = 20 * time.Second
	pause        = 50 * time.Millisecond
)

type check struct {
	name string
	body func(context.Context, client.Client) error
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . PATH_OF_SERVER")
		os.Exit(2)
	}
	if !run(os.Args[1]) {
		os.Exit(1)
	}
}

func run(path string) bool {
	// Workers would tell of the attempts that fail on purpose.
	quiet := log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})))
	var server *testsuite.DevServer
	started := perform(check{"start_dev_server", func(ctx context.Context, _ client.Client) error {
		var err error
		server, err = testsuite.StartDevServer(ctx, testsuite.DevServerOptions{
			ExistingPath:  path,
			ClientOptions: &client.Options{Namespace: namespace, Logger: quiet},
		})
		return err
	}}, nil)
	if !started {
		return false
	}
	work := worker.New(server.Client(), taskQueue, worker.Options{})
	work.RegisterWorkflow(Basket)
	work.RegisterWorkflow(Parent)
	work.RegisterWorkflow(Countdown)
	work.RegisterWorkflow(Sleeper)
	work.RegisterActivity(Price)
	passed := perform(check{"worker_starts", func(context.Context, client.Client) error { return work.Start() }}, nil)
	for _, each := range []check{
		{"activity_signal_query_update", activitySignalQueryUpdate},
		{"children", children},
		{"continue_as_new", continueAsNew},
		{"cancel", cancel},
		{"list", list},
	} {
		passed = perform(each, server.Client()) && passed
	}
	work.Stop()
	return perform(check{"stop", func(context.Context, client.Client) error { return server.Stop() }}, nil) && passed
}

func perform(each check, c client.Client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	if err := each.body(ctx, c); err != nil {
		fmt.Printf("FAIL go.%s: %v\n", each.name, err)
		return false
	}
	fmt.Printf("ok go.%s\n", each.name)
	return true
}

func start(ctx context.Context, c client.Client, id string, workflow any, args ...any) (client.WorkflowRun, error) {
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, workflow, args...)
}

func activitySignalQueryUpdate(ctx context.Context, c client.Client) error {
	run, err := start(ctx, c, "basket", Basket)
	if err != nil {
		return err
	}
	if err := c.SignalWorkflow(ctx, run.GetID(), "", "add", "tea"); err != nil {
		return err
	}
	for total := 0; total != 3; time.Sleep(pause) {
		answer, err := c.QueryWorkflow(ctx, run.GetID(), "", "total")
		if err != nil {
			return err
		}
		if err := answer.Get(&total); err != nil {
			return err
		}
	}
	if err := rename(ctx, c, run.GetID(), "", nil); err == nil {
		return errors.New("the update was not refused")
	}
	var before string
	if err := rename(ctx, c, run.GetID(), "Ada", &before); err != nil || before != "" {
		return fmt.Errorf("update: %q, %w", before, err)
	}
	if err := c.SignalWorkflow(ctx, run.GetID(), "", "add", "milk"); err != nil {
		return err
	}
	var got Result
	if err := run.Get(ctx, &got); err != nil {
		return err
	}
	return equal(got, Result{Owner: "Ada", Sum: 7})
}

func rename(ctx context.Context, c client.Client, id, owner string, before any) error {
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID:   id,
		UpdateName:   "rename",
		Args:         []any{owner},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, before)
}

func children(ctx context.Context, c client.Client) error {
	run, err := start(ctx, c, "parent", Parent, 3)
	if err != nil {
		return err
	}
	var got []int
	if err := run.Get(ctx, &got); err != nil {
		return err
	}
	return equal(got, []int{0, 1, 2})
}

func continueAsNew(ctx context.Context, c client.Client) error {
	run, err := start(ctx, c, "countdown", Countdown, 2, 1)
	if err != nil {
		return err
	}
	var runs int
	if err := run.Get(ctx, &runs); err != nil {
		return err
	}
	return equal(runs, 3)
}

func cancel(ctx context.Context, c client.Client) error {
	run, err := start(ctx, c, "sleeper", Sleeper)
	if err != nil {
		return err
	}
	if err := c.CancelWorkflow(ctx, run.GetID(), ""); err != nil {
		return err
	}
	var canceled *temporal.CanceledError
	if err := run.Get(ctx, nil); !errors.As(err, &canceled) {
		return fmt.Errorf("not canceled: %w", err)
	}
	description, err := c.DescribeWorkflowExecution(ctx, run.GetID(), "")
	if err != nil {
		return err
	}
	return equal(description.WorkflowExecutionInfo.Status, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED)
}

func list(ctx context.Context, c client.Client) error {
	run, err := start(ctx, c, "listed", Countdown, 0, 1)
	if err != nil {
		return err
	}
	if err := run.Get(ctx, nil); err != nil {
		return err
	}
	for ; ctx.Err() == nil; time.Sleep(pause) {
		page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowId = 'listed' AND ExecutionStatus = 'Completed'",
		})
		if err != nil {
			return err
		}
		if len(page.Executions) > 0 {
			return equal(page.Executions[0].Execution.RunId, run.GetRunID())
		}
	}
	return ctx.Err()
}

func equal(got, wanted any) error {
	if !reflect.DeepEqual(got, wanted) {
		return fmt.Errorf("got %v, wanted %v", got, wanted)
	}
	return nil
}
