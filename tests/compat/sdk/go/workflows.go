package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Result is what a basket ends with.
type Result struct {
	Owner string
	Sum   int
}

// Price fails the first time it is asked.
func Price(ctx context.Context, item string) (int, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		return 0, errors.New("the first attempt always fails")
	}
	return len(item), nil
}

// Basket adds up the prices of two items that signals bring; an update names its owner.
func Basket(ctx workflow.Context) (Result, error) {
	var result Result
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond},
	})
	if err := workflow.SetQueryHandler(ctx, "total", func() (int, error) { return result.Sum, nil }); err != nil {
		return result, err
	}
	rename := func(_ workflow.Context, owner string) (string, error) {
		before := result.Owner
		result.Owner = owner
		return before, nil
	}
	check := func(_ workflow.Context, owner string) error {
		if owner == "" {
			return errors.New("an owner has a name")
		}
		return nil
	}
	options := workflow.UpdateHandlerOptions{Validator: check}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, "rename", rename, options); err != nil {
		return result, err
	}
	items := workflow.GetSignalChannel(ctx, "add")
	for range 2 {
		var item string
		items.Receive(ctx, &item)
		var price int
		if err := workflow.ExecuteActivity(ctx, Price, item).Get(ctx, &price); err != nil {
			return result, err
		}
		result.Sum += price
	}
	return result, nil
}

// Parent starts children one after the other.
func Parent(ctx workflow.Context, count int) ([]int, error) {
	var results []int
	for number := range count {
		child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID: fmt.Sprintf("child-%d", number),
		})
		var runs int
		if err := workflow.ExecuteChildWorkflow(child, Countdown, number, 0).Get(ctx, &runs); err != nil {
			return nil, err
		}
		results = append(results, runs)
	}
	return results, nil
}

// Countdown continues as new until nothing is left, and gives how many runs it took, counted from the given number.
func Countdown(ctx workflow.Context, left, runs int) (int, error) {
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return 0, err
	}
	if left == 0 {
		return runs, nil
	}
	return 0, workflow.NewContinueAsNewError(ctx, Countdown, left-1, runs+1)
}

// Sleeper waits for ever.
func Sleeper(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return false })
}
