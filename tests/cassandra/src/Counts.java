import com.sun.tools.attach.VirtualMachine;
import java.util.Set;
import javax.management.MBeanServerConnection;
import javax.management.ObjectName;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/** Prints what a Cassandra process has counted of its clients' requests, one name and number in a line. */
final class Counts {
    private static final String[] KINDS = {"CASWrite", "CASRead", "Write", "Read"};

    public static void main(String[] arguments) throws Exception {
        VirtualMachine process = VirtualMachine.attach(arguments[0]);
        String address = process.startLocalManagementAgent();
        process.detach();
        try (var connector = JMXConnectorFactory.connect(new JMXServiceURL(address))) {
            MBeanServerConnection beans = connector.getMBeanServerConnection();
            for (String kind : KINDS) {
                ObjectName latency = bean("type=ClientRequest,scope=" + kind + ",name=Latency");
                ObjectName total = bean("type=ClientRequest,scope=" + kind + ",name=TotalLatency");
                if (Set.of(latency, total).stream().allMatch(name -> isThere(beans, name))) {
                    System.out.println(kind + ".count " + beans.getAttribute(latency, "Count"));
                    System.out.println(kind + ".us " + beans.getAttribute(total, "Count"));
                }
            }
        }
    }

    private static ObjectName bean(String keys) throws Exception {
        return new ObjectName("org.apache.cassandra.metrics:" + keys);
    }

    private static boolean isThere(MBeanServerConnection beans, ObjectName name) {
        try {
            return beans.isRegistered(name);
        } catch (java.io.IOException lost) {
            return false;
        }
    }
}
