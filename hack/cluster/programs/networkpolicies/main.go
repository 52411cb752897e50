// networkpolicies makes NetworkPolicies hold on one node: it gives the verdict on every new connection from or to a pod.
//
// What a policy means is decided by kube-network-policies, which kind's network uses, too. Only its packet filter cannot be
// used: it hands packets over with nftables' own "queue", which not every kernel has. Here a rule of iptables does it
// (hack/cluster/policies.py), so this program reads the queue itself. What it does not decide, because it does not run or is
// too slow, the kernel lets pass: a cluster without it works as if it had no policies.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/florianl/go-nfqueue/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "who reads Pods, Namespaces and NetworkPolicies")
	node := flag.String("node", "", "the node's name")
	queue := flag.Uint("queue", 0, "number of the kernel's queue")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	engine, err := newEngine(ctx, *kubeconfig, *node)
	if err == nil {
		err = decide(ctx, engine, uint16(*queue))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// newEngine returns what knows the policies, as soon as it knows all that there are.
func newEngine(ctx context.Context, kubeconfig, node string) (*networkpolicy.PolicyEngine, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(withoutManagers))
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	byAddress, err := podinfo.NewInformerResolver(pods.Informer())
	if err != nil {
		return nil, err
	}
	known := podinfo.NewInformerProvider(pods, namespaces, nil, []podinfo.IPResolver{byAddress})
	policies := networkpolicy.NewStandardNetworkPolicy(node, namespaces, pods, factory.Networking().V1().NetworkPolicies())
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	return networkpolicy.NewPolicyEngine(known, []api.PolicyEvaluator{policies}), nil
}

// withoutManagers takes out who set which field: it is half of an object, and nobody asks here.
func withoutManagers(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

// decide answers for the packets of the queue, until the context ends.
func decide(ctx context.Context, engine *networkpolicy.PolicyEngine, queue uint16) error {
	packets, err := nfqueue.Open(&nfqueue.Config{
		NfQueue:      queue,
		MaxPacketLen: 128, // headers
		MaxQueueLen:  1024,
		Copymode:     nfqueue.NfQnlCopyPacket,
		// The kernel need not cut large packets for us; and a full queue lets pass.
		Flags: nfqueue.NfQaCfgFlagGSO | nfqueue.NfQaCfgFlagFailOpen,
	})
	if err != nil {
		return fmt.Errorf("the kernel's queue %d cannot be opened: %w", queue, err)
	}
	defer packets.Close()
	err = packets.RegisterWithErrorFunc(ctx, func(packet nfqueue.Attribute) int {
		if err := packets.SetVerdict(*packet.PacketID, verdict(ctx, engine, *packet.Payload)); err != nil {
			log.Print("The kernel took no verdict: ", err)
		}
		return 0 // go on
	}, func(err error) int {
		if ctx.Err() == nil {
			log.Print("A packet was not received: ", err)
		}
		return 0
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// verdict lets pass what the policies allow, and what is no packet of a connection. Who was stopped is in the log.
func verdict(ctx context.Context, engine *networkpolicy.PolicyEngine, payload []byte) int {
	packet, err := network.ParsePacket(payload)
	if err != nil {
		return nfqueue.NfAccept
	}
	if allowed, err := engine.EvaluatePacket(ctx, &packet); err != nil || allowed {
		return nfqueue.NfAccept
	}
	log.Printf("Stopped: %s from %s to %s, port %d.", packet.Proto, packet.SrcIP, packet.DstIP, packet.DstPort)
	return nfqueue.NfDrop
}
