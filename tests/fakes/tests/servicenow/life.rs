//! Starting, stopping, restarting, and outages.

use syncline_fakes::servicenow::{Options, ServiceNow};
use tokio::net::TcpStream;

use crate::client::{create, look_up, start};

#[tokio::test]
async fn a_stopped_instance_refuses_connections_and_comes_back_with_its_data() {
    let crm = start().await;
    let url = crm.base_url().to_owned();
    create("k1").send(&crm).await;
    let mut idle = TcpStream::connect(crm.address()).await.unwrap();
    create("k2").send_on(&mut idle).await.unwrap();
    for _ in 0..3 {
        crm.stop().await;
        crm.stop().await;
        assert!(TcpStream::connect(crm.address()).await.is_err());
        assert!(create("k3").send_on(&mut idle).await.is_err(), "open connections are broken off");
        crm.restart().await.unwrap();
        crm.restart().await.unwrap();
        assert_eq!(look_up("k1").send(&crm).await.result().as_array().unwrap().len(), 1);
    }
    assert_eq!((crm.base_url(), crm.totals().requests), (url.as_str(), 5));
}

#[tokio::test]
async fn a_port_can_be_chosen_and_is_free_after_the_drop() {
    let crm = start().await;
    let port = crm.address().port();
    assert!(ServiceNow::start(Options::default().port(port)).await.is_err());
    crm.stop().await;
    drop(crm);
    assert_eq!(ServiceNow::start(Options::default().port(port)).await.unwrap().address().port(), port);
}

#[tokio::test]
async fn an_outage_answers_every_request_with_503() {
    let crm = start().await;
    crm.outage(true);
    assert_eq!((create("k1").send(&crm).await.status, look_up("k1").send(&crm).await.status), (503, 503));
    assert_eq!(crm.totals().faults, 2);
    crm.outage(false);
    assert_eq!(create("k1").send(&crm).await.status, 201);
}
