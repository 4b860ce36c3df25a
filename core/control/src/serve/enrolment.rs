//! Answers who wants to be enrolled.

use std::sync::Arc;

use patronus_identity::NotRedeemed;
use tonic::{Request, Response, Status};

use super::admission::Peer;
use super::{Desk, NotEnrolled};
use crate::wire::v1::enrolment_server::Enrolment;
use crate::wire::{EnrolAsk, v1};

pub(super) struct Enrolments<D> {
    pub(super) desk: Arc<D>,
}

#[tonic::async_trait]
impl<D: Desk> Enrolment for Enrolments<D> {
    async fn enrol(
        &self,
        request: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        let peer = request.extensions().get::<Peer>();
        let from = peer.map(|peer| peer.address);
        let from = from.ok_or_else(|| Status::internal("whose connection it is, is not known"))?;
        let ask = EnrolAsk::try_from(request.into_inner());
        let ask = ask.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let token = ask.token;
        match self.desk.enrol(ask, from).await {
            Ok(answer) => Ok(Response::new(answer.into())),
            Err(error) => {
                tracing::info!(%from, %token, %error, "nobody was enrolled");
                let text = error.to_string();
                Err(match error {
                    NotEnrolled::Token(NotRedeemed::Unknown) => Status::unauthenticated(text),
                    NotEnrolled::Token(
                        NotRedeemed::Expired(_) | NotRedeemed::Used(_) | NotRedeemed::Withdrawn(_),
                    ) => Status::failed_precondition(text),
                    NotEnrolled::Request(_) => Status::invalid_argument(text),
                    NotEnrolled::Later(_) => Status::unavailable(text),
                })
            }
        }
    }
}
